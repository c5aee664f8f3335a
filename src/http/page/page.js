let $=at=>at.append?at:document.getElementById(at)
let kin=kids=>kids.flat(9).filter(k=>k||k===0)
// Values become text and attributes, never markup.
let h=(tag,...kids)=>{
	let made=document.createElementNS('http://www.w3.org/'+(/svg|line|rect/.test(tag)?'2000/svg':'1999/xhtml'),tag)
	let has=kids[0]?.constructor===Object?kids.shift():{}
	for(let name in has)has[name].call?made[name]=has[name]:made.setAttribute(name,has[name])
	made.append(...kin(kids))
	return made
}
let[p,b,td,th,tr,li,div,h2,button]='p b td th tr li div h2 button'.split(' ').map(tag=>(...kids)=>h(tag,...kids))
let fill=(at,...kids)=>$(at).replaceChildren(...kin(kids))
let unit=new Intl.NumberFormat([],{notation:'compact',style:'unit',unit:'byte',unitDisplay:'narrow'}).format
let span=s=>s<90?s+' s':s<5400?(s/60|0)+' min':s<2e5?(s/3600|0)+' h':(s/86400|0)+' d'
let ago=at=>at?span((Date.now()-Date.parse(at))/1e3|0):'–'
let plain=v=>`${v??'–'}`.replaceAll('_',' ')
let text=(v,n)=>v==null?'':v.map?v.map(text).sort().join(', '):v.constructor===Object?kin(each(v,(...fact)=>fact.join(' '))).join(', ')
	:/_s$/.test(n)?span(v):/^bytes/.test(n)?unit(v):/^\d{4}-..-..T/.test(v)?new Date(v).toLocaleString():`${v}`
let label=n=>plain(n.replace(/_s$/,'').replace(/(?=[A-Z])/g,' ')).toLowerCase()
let each=(all,make)=>Object.keys(all).map(n=>text(all[n],n)&&make(label(n),text(all[n],n)))
let facts=all=>h('dl',each(all,(n,v)=>div(h('dt',n),h('dd',v))))
let box=(kind,title,...kids)=>div({class:'box '+kind},b(title),kin(kids).map(k=>p(k)))
let why=r=>r&&box('error',r.code,r.details,r.advice,r.trigger&&'It went down by '+r.trigger)
let badge=state=>h('span',{'data-status':state,'data-icon':'●◐▲○?'[states.indexOf(state)]},state)
let svg=(viewBox,kids)=>h('svg',{viewBox,preserveAspectRatio:'none','aria-hidden':true},kids)
let say=why=>$('away').textContent===why||fill('away',why)
let pause=()=>new Promise(done=>setTimeout(done,1e3))
let compare=new Intl.Collator([],{numeric:1}).compare
let states=['Ready','Connecting','Disconnected','Disabled','Unknown']
let heads='Name,Status,Peer,Networks,Condition,Since,Reason,Traffic/s,Post-quantum,Role'.split(',')

let{token}=sessionStorage,me,rows=new Map,shown,by=0,sign=1,tall=60,due=[],timer,ticks=0,view,log,busy

async function ask(path,has){
	let answer=await fetch(path,{headers:{Authorization:'OAuth '+token},...has}).catch(()=>{throw Error('The agent does not answer.')})
	if(answer.ok)return answer
	let text=await answer.text(),{error}=text[0]==='{'?JSON.parse(text):{error:{details:text}}
	if(error.code==='ID.1001')leave('These credentials are not valid.')
	throw Error(error.details+' '+(error.elaboration||''))
}
let json=async path=>(await ask('/cygnet/v1/'+path,{signal:AbortSignal.timeout(2e4)})).json()

async function follow(path,begun,heard){
	let stop=new AbortController,{body}=await ask('/cygnet/v1/'+path,{signal:stop.signal})
	begun(stop)
	let rest=''
	for await(let part of body.pipeThrough(new TextDecoderStream)){
		let lines=(rest+part).split('\n')
		rest=lines.pop()
		for(let line of lines)line.startsWith('data:')&&heard(JSON.parse(line.slice(5)))
	}
}

async function live(){
	for(;;await pause()){
		await follow('events',()=>load(),event=>{
			due.push(event.uuid)
			timer||=setTimeout(()=>{load(due.length<200&&due.every(id=>id)&&due);due=[];timer=0},150)
		}).catch(()=>0)
		await load()
	}
}

async function load(ids){
	busy=1
	try{
		if($('away').textContent)ids=0
		let{connections}=await json('connections?limit=999999'+(ids?'&q=uuid?='+ids:''))
		if(!ids){
			me=await json('gateway')
			say(me.charon.why?'charon does not answer: '+me.charon.why:'')
			fill('host',me.name)
			$('nav').hidden=!($('login').hidden=true)
		}
		let old=rows
		rows=new Map(ids?[...old].filter(([id])=>!ids.includes(id)):[])
		for(let row of connections.map(one)){
			let was=old.get(row.id)
			row.tr=was?.tr
			rows.set(row.id,was?.text===row.text?was:row)
		}
		go()
	}catch(error){
		say(error.message)
	}
	busy=0
}

function one({inventory:i,networks,reason,note,traffic:t,vip,condition,since,post_quantum}){
	let state=i.state==='Disabled'?i.state:i.status||'Unknown',code=reason?.code||'',why=reason?reason.advice+' '+reason.details:note||''
	let nets=[text(networks.local),'↔ '+text(networks.remote)],rate=way=>t[way].at(-1)||0
	let key=[i.name,states.indexOf(state),i.peerAddress,nets[1],plain(condition),-Date.parse(since)||0,code,-rate('in')-rate('out'),text(post_quantum)||'–',vip.role]
	let cells=()=>[badge(state),key[2],nets.map(net=>div(net)),key[4],ago(since),div(b(code),' ',why),[spark(t),`↓${unit(rate('in'))} ↑${unit(rate('out'))}`],key[8],key[9]]
	return{id:i.uuid,state,key,cells,text:[key,nets,state,ago(since),why,t.in,t.out].join(' ').toLowerCase()}
}

let spark=t=>svg('0 0 40 20',['in','out'].map(way=>h('polyline',{class:way,points:t[way].map((n,x)=>[x+40-t.in.length,19-18*n/Math.max(1,...t.in,...t.out)]).join(' ')})))

function sift(){
	let words=$('search').value.toLowerCase().split(' '),list=[...rows.values()]
	fill('counts',states.map(state=>li(badge(state),' ',b(list.filter(row=>row.state===state).length))))
	shown=list.filter(row=>!($('down').checked&&row.state===states[0])&&words.every(word=>row.text.includes(word)))
	shown.sort(({key:a},{key:b})=>sign*(a[by].at?compare(a[by],b[by]):a[by]-b[by])||compare(a[0],b[0]))
	fill('found',`${shown.length} of ${list.length}`)
	heads.map((_,n)=>$('heads').children[n].ariaSort=n!==by?'none':sign>0?'ascending':'descending')
	paint()
}

// Only rows near the window are drawn.
function paint(){
	if($('all').hidden)return
	let{style,children}=$('rows')
	let first=Math.max(0,Math.min(shown.length-1,(-$('heads').getBoundingClientRect().bottom/tall|0)-8))
	let list=shown.slice(first,first+Math.ceil(innerHeight/tall)+16).map((row,n)=>{
		row.tr||=tr({id:row.id},td(h('a',{href:'#c/'+row.id})))
		if(!row.done){
			row.done=row.tr.firstChild.firstChild.textContent=row.key[0]
			while(row.tr.children[1])row.tr.lastChild.remove()
			row.tr.append(...row.cells().map((cell,n)=>td({'data-label':heads[n+1]},cell)))
		}
		row.tr.ariaRowIndex=first+n+2
		return row.tr
	})
	for(let row of[...children])list.includes(row)||row.remove()
	list.map((row,n)=>row===children[n]||$('rows').insertBefore(row,children[n]))
	style.top=first*tall+'px'
	$('list').style.paddingBottom=(shown.length-list.length)*tall+'px'
	$('list').ariaRowCount=shown.length+1
	let real=list[0]?.offsetHeight
	if(real&&real!==tall)tall=real,paint()
}

function go(event){
	let what=location.hash.slice(1)
	if(event)log?.abort(),view=0,fill('one')
	if(!me)return
	$('all').hidden=what
	$('one').hidden=!what
	document.title=me.name+' – cygnet'
	if(!what)sift()
	else if(view)detail()
	else if(!$('one').firstChild)what[1]==='/'?open(what.slice(2)):gateway()
	event&&$('main').focus()
}

async function open(uuid){
	let mayNot=me.caller.role==='read',lines=h('pre',{role:'log',tabindex:0,'aria-label':'Log'})
	view={inventory:{uuid}}
	fill('one',div({class:'bar'},h('h1',{id:'title'}),mayNot||button({onclick:()=>{
		fill('what',`Reconnect ${view.inventory.name}? Its traffic stops meanwhile.`)
		$('ask').showModal()
	}},'Reconnect'),button({onclick:()=>{
		let area=h('textarea',JSON.stringify(view,null,1))
		$('one').append(area)
		area.select();document.execCommand('copy');area.remove();fill('done','Copied.')
	}},'Copy as JSON')),p({id:'done',role:'status'},mayNot&&'Your role is read: you may not reconnect.'),div({id:'facts'}),h2('Log'),lines)
	detail()
	for(;lines.isConnected;await pause())await follow(`connections/${uuid}/log?lines=200&follow=true`,stop=>{
		log=stop;fill(lines)
	},line=>{
		lines.prepend(`${text(line.at)} ${line.by}: ${line.text}\n`)
		lines.childNodes[500]?.remove()
	}).catch(()=>0)
}

async function detail(){
	let title=$('title'),v=await json(`connections/${view.inventory.uuid}?mask=true`).catch(error=>$('done')&&fill('done',error.message))
	if(!v||!title.isConnected||view.vip&&`${getSelection()}`)return
	view=v
	let{inventory:{uuid,authKey,name,state,status,peerCidrs,l3NetworkRefs,...wanted},children,ike_sas,ike_wanted,other_sas,availability:{since,changes},traffic,reason,warnings,certificates,...rest}=v
	delete v.inventory.authKey
	fill(title,name,' ',badge(one(v).state))
	let x=at=>Math.max(0,1440-(Date.now()-Date.parse(at))/6e4),turns=changes.length?changes:[{at:since,event:v.as_wanted?'up':'down'}]
	fill('facts',why(reason),warnings.map(w=>box('warning',w.code,w.message)),facts(rest),
		h2('The last day'),div({class:'day'},svg('0 0 1440 9',turns.map(({at,event},n)=>h('rect',{class:event,x:x(at),y:event==='up'?0:5,height:9,width:(turns[n+1]?x(turns[n+1].at):1440)-x(at)})))),
		h('ul',changes.toReversed().map(turn=>li(text(turn.at),': ',plain(turn.event),' ',turn.code)),li('Known since ',text(since))),
		children.map(c=>[h2(text(c.local),' ↔ ',text(c.remote)),p('Condition: ',plain(c.condition),'. ',c.condition_advice),!reason&&why(c.reason),beside({...c.wanted,local:c.local,remote:c.remote},c.sas)]),
		other_sas?.length>0&&[h2('Other CHILD_SAs'),beside({},other_sas)],h2('IKE'),beside(ike_wanted,ike_sas),certificates&&[h2('Certificates'),certificates.map(facts)],h2('Settings'),facts(wanted))
}

function beside(wanted,sas){
	let both=[wanted,...sas||[]]
	return h('table',h('thead',tr(td(),['Wanted',sas?.length?sas.map(sa=>'Runs: '+sa.id):sas?'Nothing runs':'Not known'].flat().map(head=>th(head)))),
		h('tbody',[...new Set(both.flatMap(Object.keys))].map(name=>{
			let[first,...rest]=both.map(sa=>text(sa[name],name))
			return name!=='id'&&tr(th(label(name)),td(first),rest.map(value=>td(value&&(first&&value!==first||name==='not_wanted')?h('mark','≠ ',value):value)))
		})))
}

async function gateway(){
	me=await json('gateway').catch(()=>me)
	let doctor=div({id:'doctor',role:'status'},'The doctor looks …')
	view||fill('one',h('h1','Gateway'),facts(me),h2('Doctor'),doctor)
	let r=await json('doctor').catch(error=>fill(doctor,error.message))
	r&&fill(doctor,r.healthy&&'Nothing is wrong.',r.findings.map(f=>box(f.level,f.level+': '+f.check,f.what,f.fix&&'Fix: '+f.fix,f.evidence)),h('details',h('summary',r.passed.length,' checks passed'),r.passed.map(d=>p(d.check,': ',d.seen))))
}

function leave(why){
	sessionStorage.clear();sessionStorage.why=why;location.reload()
}

$('login').onsubmit=async event=>{
	event.preventDefault()
	try{
		token=$('token').value.trim()
		if(!token){
			if(!crypto.subtle)throw Error('An account needs HTTPS here. Use a token.')
			let password=new Uint8Array(await crypto.subtle.digest('SHA-512',new TextEncoder().encode($('password').value))).toHex()
			let body=JSON.stringify({logInByAccount:{accountName:$('account').value,password}})
			sessionStorage.session=token=(await(await ask('/zstack/v1/accounts/login',{method:'PUT',body})).json()).inventory.uuid
		}
		await json('gateway')
		sessionStorage.token=token;event.target.reset();live()
	}catch(error){
		fill('refused',error.message)
	}
}
$('out').onclick=async()=>{
	if(sessionStorage.session)await ask('/zstack/v1/accounts/sessions/'+token,{method:'DELETE'}).catch(()=>0)
	leave('')
}
$('no').onclick=()=>$('ask').close()
$('yes').onclick=async()=>{
	$('ask').close()
	fill('done','Reconnecting …')
	try{
		let answer=await ask(`/zstack/v1/ipsec/${view.inventory.uuid}/actions`,{method:'PUT',body:'{"reconnectIPsecConnection":{}}'})
		fill('done',answer.status===202?'Reconnecting has begun.':'Reconnected: '+(await answer.json()).inventory.status)
	}catch(error){
		fill('done',error.message)
	}
}
$('search').oninput=$('down').onchange=sift
onhashchange=go
onscroll=onresize=paint
fill('heads',heads.map((head,n)=>th(button({onclick:()=>{sign=n===by?-sign:1;by=n;sift()}},head))))
setInterval(()=>me&&!busy&&load(++ticks%30&&(view?[view.inventory.uuid]:[...$('rows').children].map(row=>row.id))),3e3)
$('login').hidden=token
fill('refused',sessionStorage.why)
token&&live()

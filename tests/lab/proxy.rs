//! A wire between the agent and its charon that a test can tamper with: it passes vici frames on, changes what is asked
//! for, or holds it back. The charon behind it is the real one, and so are its words.

use std::fs;
use std::io::{self, Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread;

use crate::support::lab::{Lab, Side};

/// What is done to requests that hold the needle.
#[derive(Clone, Default)]
enum Tamper {
    #[default]
    Nothing,
    /// These bytes become those, as many.
    Replace(Vec<u8>, Vec<u8>),
    /// So many requests more of this command wait until the next order.
    Hold(Vec<u8>, usize),
}

/// The wire; charon's socket has its place back when it is dropped.
pub struct Proxy {
    tamper: Arc<(Mutex<Tamper>, Condvar)>,
    place: PathBuf,
    real: PathBuf,
}

impl Proxy {
    /// Stands in the place of charon's socket, for connections made from now on.
    #[track_caller]
    pub fn before(lab: &Lab, side: Side) -> Self {
        let place = lab.vici_socket(side);
        let real = place.with_extension("real");
        fs::rename(&place, &real).expect("the socket can be moved");
        let listener = UnixListener::bind(&place).expect("a socket can be made");
        let tamper = Arc::<(Mutex<Tamper>, Condvar)>::default();
        let proxy = Self { tamper: Arc::clone(&tamper), place, real: real.clone() };
        thread::spawn(move || {
            for client in listener.incoming() {
                // The end of either side ends both; there is nobody to tell.
                let _ = client.and_then(|client| join(client, UnixStream::connect(&real)?, &tamper));
            }
        });
        proxy
    }

    /// Writes `to` for `from` in every request from now on; they are of one length.
    pub fn replace(&self, from: &str, to: &str) {
        assert_eq!(from.len(), to.len());
        self.order(Tamper::Replace(from.into(), to.into()));
    }

    /// Holds back the next requests of a command, until the next order.
    pub fn hold(&self, command: &str, count: usize) {
        self.order(Tamper::Hold(command.into(), count));
    }

    /// Whether that many were held back.
    pub fn holds(&self) -> bool {
        matches!(&*self.tamper.0.lock().unwrap_or_else(PoisonError::into_inner), Tamper::Hold(_, 0))
    }

    /// Passes everything on, also what was held back.
    pub fn release(&self) {
        self.order(Tamper::Nothing);
    }

    fn order(&self, order: Tamper) {
        *self.tamper.0.lock().unwrap_or_else(PoisonError::into_inner) = order;
        self.tamper.1.notify_all();
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.release();
        // The lab may be gone already.
        let _ = fs::rename(&self.real, &self.place);
    }
}

fn join(client: UnixStream, charon: UnixStream, tamper: &Arc<(Mutex<Tamper>, Condvar)>) -> io::Result<()> {
    let (mut answers, mut asker) = (charon.try_clone()?, client.try_clone()?);
    let tamper = Arc::clone(tamper);
    thread::spawn(move || {
        // Frame by frame: a request may have been sent before its asker gave up.
        let _ = requests(client, charon, &tamper);
    });
    thread::spawn(move || {
        let _ = io::copy(&mut answers, &mut asker);
        let _ = asker.shutdown(std::net::Shutdown::Both);
    });
    Ok(())
}

fn requests(mut client: UnixStream, mut charon: UnixStream, tamper: &(Mutex<Tamper>, Condvar)) -> io::Result<()> {
    let mut length = [0; 4];
    while client.read_exact(&mut length).is_ok() {
        let mut frame = vec![0; u32::from_be_bytes(length) as usize];
        client.read_exact(&mut frame)?;
        let frame = tampered(frame, tamper);
        charon.write_all(&length)?;
        charon.write_all(&frame)?;
    }
    charon.shutdown(std::net::Shutdown::Write)
}

fn tampered(mut frame: Vec<u8>, tamper: &(Mutex<Tamper>, Condvar)) -> Vec<u8> {
    let mut order = tamper.0.lock().unwrap_or_else(PoisonError::into_inner);
    match &mut *order {
        Tamper::Replace(from, to) => {
            while let Some(place) = frame.windows(from.len()).position(|window| window == from) {
                frame[place..place + to.len()].copy_from_slice(to);
            }
        }
        // A request is a type, the length of the command's name, and the name.
        Tamper::Hold(command, left) if *left > 0 && frame.get(2..).is_some_and(|rest| rest.starts_with(command)) => {
            *left -= 1;
            let held = |order: &mut Tamper| matches!(order, Tamper::Hold(..));
            drop(tamper.1.wait_while(order, held).unwrap_or_else(PoisonError::into_inner));
        }
        Tamper::Nothing | Tamper::Hold(..) => {}
    }
    frame
}

/*
 * Preloaded into User-Mode Linux. Its kernel keeps 2696 bytes of the processor's extended state for each process, and
 * hands just these to ptrace(2); a host whose processor has more (AMX) takes all or nothing (EFAULT), and the kernel
 * dies with its first process. This hands over the whole, with the rest as it is before its first use: what runs inside
 * never asks for AMX, which Linux gives only to those who do.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <elf.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/uio.h>

/* More than any processor has. */
#define MOST 65536
/* Where XSTATE_BV stands, which says what of the state is in use. */
#define IN_USE 512
/* AMX: TILECFG and TILEDATA. */
#define AMX ((uint64_t)3 << 17)

typedef long (*trace)(int, int, void *, void *);

long ptrace(enum __ptrace_request request, ...)
{
	static trace real;
	static size_t whole;
	/* Not on the stack: the kernel runs on small ones of its own, one at a time. */
	static char state[MOST];
	struct iovec all = { state, sizeof(state) };
	uint64_t used;
	long result;
	va_list rest;

	va_start(rest, request);
	int pid = va_arg(rest, int);
	void *address = va_arg(rest, void *);
	void *data = va_arg(rest, void *);
	va_end(rest);
	if (!real)
		real = (trace)dlsym(RTLD_NEXT, "ptrace");
	struct iovec *part = data;
	if (request != PTRACE_SETREGSET || (long)address != NT_X86_XSTATE || part->iov_len >= sizeof(state))
		return real(request, pid, address, data);
	if (!whole) {
		result = real(PTRACE_GETREGSET, pid, address, &all);
		if (result < 0)
			return result;
		whole = all.iov_len;
	}
	if (part->iov_len >= whole || part->iov_len < IN_USE + sizeof(used))
		return real(request, pid, address, data);
	memset(state, 0, whole);
	memcpy(state, part->iov_base, part->iov_len);
	memcpy(&used, state + IN_USE, sizeof(used));
	used &= ~AMX;
	memcpy(state + IN_USE, &used, sizeof(used));
	all.iov_len = whole;
	return real(request, pid, address, &all);
}

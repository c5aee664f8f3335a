# Runs a line of shell in a terminal and types a line as soon as a question is there: typed.py LINE QUESTION ANSWER.
import os
import pty
import sys

line, question, answer = sys.argv[1:]
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("sh", ["sh", "-ec", line])
shown, is_asked = b"", True
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        # Nobody holds the other side any more.
        break
    if not part:
        break
    shown += part
    if is_asked and question.encode() in shown:
        is_asked = False
        os.write(terminal, answer.encode() + b"\n")
sys.stdout.buffer.write(shown)
sys.stdout.flush()
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))

"""Somebody at a real terminal: an editor, a resized window, Ctrl-C, a pause; then the recording before asciinema's own
reader and player.

    session.py MIRRORCODE
"""

import fcntl
import json
import os
import pathlib
import pty
import select
import struct
import subprocess
import sys
import tempfile
import termios
import time

import pyte
from asciinema.asciicast import open_from_url

MIRRORCODE = pathlib.Path(sys.argv[1]).resolve()


class Person:
    def __init__(self, *arguments):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ["TERM"] = "xterm-256color"
            os.execv(MIRRORCODE, [str(MIRRORCODE), *arguments])
        self.resize(100, 30)
        self.seen = b""

    def resize(self, columns, rows):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def sees(self, text, seconds=120):
        end = time.monotonic() + seconds
        while text.encode() not in self.seen:
            assert time.monotonic() < end, (text, self.seen[-2000:])
            if select.select([self.fd], [], [], 0.5)[0]:
                try:
                    self.seen += os.read(self.fd, 65536)
                except OSError:
                    assert text.encode() in self.seen, (text, self.seen[-2000:])
        head, self.seen = self.seen.split(text.encode(), 1)
        return head.decode(errors="replace") + text

    def types(self, text):
        os.write(self.fd, text.encode())

    def does(self, line):
        self.types(line + "\n")
        self.sees("\r\n")
        return self.sees("$ ")

    def leaves(self):
        while True:
            try:
                if not os.read(self.fd, 65536):
                    break
            except OSError:
                break
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1])


def main():
    with tempfile.TemporaryDirectory() as temporary:
        os.environ["MIRRORCODE_RUNS"] = temporary
        subprocess.run([MIRRORCODE, "target", "build", "gron", "--no-draw"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        person = Person("shell", "gron/python", "--who", "tester", "--active-limit", "1h")
        person.sees("/workspace$ ")
        assert "json[0]" in person.does("echo '[\"ä😀\"]' | gron | cat")
        # A command under way gets Ctrl-C, and the session goes on.
        person.types("sleep 100\n")
        time.sleep(1)
        person.types("\x03")
        person.sees("/workspace$ ")
        # A shell of its own, with line editing, in a window of another size.
        person.types("bash --norc\n")
        person.sees("bash-")
        person.resize(72, 20)
        time.sleep(0.5)
        person.types("tput cols; printf '\\033[31mred\\033[0m\\n'; echo prXYint\x1b[D\x1b[D\x1b[D\x7f\x7f\n")
        person.sees("72")
        person.sees("red")
        person.types("echo 'print(7)' >main.py; exit\n")
        person.sees("/workspace$ ")
        person.does("note ein Maß")
        person.does("pause")
        time.sleep(1)
        person.does("resume")
        person.types("evaluate arrays\n")
        person.sees("visible cases pass")
        person.sees("/workspace$ ")
        person.types("submit\n")
        person.sees("[the work is submitted]")
        assert person.leaves() == 0
        [run] = pathlib.Path(temporary).iterdir()
        cast = run / "terminal/001.cast"
        with open_from_url(str(cast)) as recording:
            header, events = recording.v2_header, list(recording.events())
        assert header["version"] == 2 and header["width"] == 100 and header["height"] == 30, header
        kinds = {event[1] for event in events}
        assert kinds == {"o", "m", "r"}, kinds
        assert ["r", "72x20"] in [list(event[1:]) for event in events]
        marks = [event[2] for event in events if event[1] == "m"]
        assert marks == ["ein Maß", "pause", "resume"], marks
        screen = pyte.Screen(100, 200)
        stream = pyte.Stream(screen)
        shown = "".join(event[2] for event in events if event[1] == "o")
        stream.feed(shown)
        text = "\n".join(line.rstrip() for line in screen.display).rstrip()
        for line in ("/workspace$ note ein Maß", "[the clock stands; `resume` starts it again] /workspace$ resume", "red"):
            assert line in text, text
        asciinema = pathlib.Path(sys.executable).with_name("asciinema")
        done = subprocess.run([asciinema, "cat", cast], stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert done.returncode == 0 and done.stdout.decode() == shown, done
        facts = json.loads(subprocess.run([MIRRORCODE, "run", "show", run, "--json"], check=True, stdout=subprocess.PIPE).stdout)
        assert facts["who"] == "tester (a person)" and facts["state"] == "submitted", facts
        paused = facts["runs_of_task"][0]["hours"] - facts["runs_of_task"][0]["hours_without_pauses"]
        assert paused * 3600 > 0.9, facts
        print(f"asciinema reads {len(events)} events of {cast.stat().st_size} bytes and shows what was on the terminal")


main()

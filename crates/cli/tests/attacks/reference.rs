//! Reading the reference through the reference.

use crate::table::{Act, Attack, Twin, attack};

const BY: &str = "the reference's caller";
const MODE: &str = "mode 0111 on a read-only mount: the kernel executes it, nobody opens it";
const GUARD: &str = "the guard: Landlock rules in force before `main`";

pub(crate) fn attacks() -> Vec<Attack> {
    let read =
        |name, tries, script, wall, twin| attack(BY, (name, tries, wall), Act::Agent(script), twin);
    vec![
        read(
            "own-exe",
            "`jq -Rs . /proc/self/exe`",
            "jq -Rs . /proc/self/exe",
            MODE,
            Twin::Package,
        ),
        read(
            "own-path",
            "`jq -Rs . /usr/bin/jq`",
            "jq -Rs . /usr/bin/jq",
            MODE,
            Twin::Package,
        ),
        read(
            "own-library",
            "its logic: libjq",
            "jq -Rs . /usr/lib/x86_64-linux-gnu/libjq.so.1",
            GUARD,
            Twin::NoGuard,
        ),
        read(
            "regex-library",
            "libonig, which holds its regular expressions",
            "jq -Rs . /usr/lib/x86_64-linux-gnu/libonig.so.5",
            GUARD,
            Twin::NoGuard,
        ),
        read(
            "c-library",
            "libc, from which its build could be told",
            "jq -Rs . /usr/lib/x86_64-linux-gnu/libc.so.6",
            GUARD,
            Twin::NoGuard,
        ),
        read(
            "loader",
            "the loader's own file",
            "jq -Rs . /lib64/ld-linux-x86-64.so.2",
            GUARD,
            Twin::NoGuard,
        ),
        read(
            "slurpfile-library",
            "`--slurpfile` and `--rawfile` of a library",
            "jq -n --rawfile a /usr/lib/x86_64-linux-gnu/libjq.so.1 '$a[0:9]'; jq -n --slurpfile a /usr/lib/x86_64-linux-gnu/libjq.so.1 '$a'",
            GUARD,
            Twin::NoGuard,
        ),
        read(
            "guard-file",
            "the guard itself",
            "jq -Rs . /guard.so",
            GUARD,
            Twin::NoGuard,
        ),
        read(
            "preload-file",
            "the loader's preload list",
            "jq -Rs . /etc/ld.so.preload | grep -q guard && echo WON",
            GUARD,
            Twin::NoGuard,
        ),
        read(
            "program-from-file",
            "`-f` and `--from-file`: an error message that quotes the file as a program",
            "{ jq -n -f /usr/lib/x86_64-linux-gnu/libjq.so.1; jq -n --from-file /etc/ld.so.preload; } 2>&1 | grep -q guard && echo WON",
            GUARD,
            Twin::NoGuard,
        ),
        read(
            "module-path",
            "`-L` with the library's directory",
            "cd /tmp; ln -sf /usr/lib/x86_64-linux-gnu/libjq.so.1 /tmp/a.jq; jq -L /tmp -n 'include \"a\"; .'; jq -L /usr/lib/x86_64-linux-gnu -n 'import \"libjq\" as $a {search: \"./\"}; $a'; cd /workspace",
            GUARD,
            Twin::NoGuard,
        ),
        read(
            "link-to-program",
            "a link in the workspace to the program and to `/proc/self/exe`",
            "ln -sfn /usr/bin/jq a; ln -sfn /proc/self/exe b; jq -Rs . a b",
            MODE,
            Twin::Package,
        ),
        read(
            "link-to-library",
            "a link in the workspace to a library",
            "ln -sfn /usr/lib/x86_64-linux-gnu/libjq.so.1 c; jq -Rs . c",
            GUARD,
            Twin::NoGuard,
        ),
        read(
            "hard-link-to-program",
            "a hard link to the program, planted by the agent",
            "R=${REFERENCE:-/usr/bin/jq}; rm -f /tmp/hard; ln $R /tmp/hard 2>/dev/null; ln /proc/self/exe /tmp/hard 2>/dev/null; jq -Rs . /tmp/hard",
            "the agent's mounts hold no reference to link to",
            Twin::Inside,
        ),
        read(
            "relative-from-root",
            "the program, from a working directory reached by `..` and links",
            "ln -sfn / rootlink; jq -Rs . ../usr/bin/jq rootlink/usr/bin/jq /workspace/../usr/lib/x86_64-linux-gnu/libjq.so.1",
            GUARD,
            Twin::NoGuard,
        ),
        read(
            "own-maps",
            "`/proc/self/maps`, where it and its libraries lie",
            "jq -Rs . /proc/self/maps | grep -q libjq && echo WON",
            GUARD,
            Twin::Package,
        ),
        read(
            "own-memory",
            "`/proc/self/mem`, which begins with nothing, and `/proc/self/auxv`",
            "for f in mem auxv environ stack; do jq -Rs length /proc/self/$f >f && [ $(cat f) -gt 1 ] && echo WON; done",
            GUARD,
            Twin::Package,
        ),
        read(
            "own-map-files",
            "`/proc/self/map_files`, `root`, `cwd` and `fd`",
            "jq -Rs . /proc/self/root/usr/lib/x86_64-linux-gnu/libjq.so.1 /proc/self/map_files/* /proc/thread-self/root/usr/bin/jq",
            GUARD,
            Twin::NoGuard,
        ),
        read(
            "other-process",
            "the init's entries, from the reference",
            "jq -Rs . /proc/1/exe /proc/1/maps /proc/1/environ | grep -q . && [ \"$(jq -Rs length /proc/1/status)\" -gt 9 ] && echo WON",
            GUARD,
            Twin::Container,
        ),
        read(
            "directory-descriptor",
            "directories: opened, and passed as standard input, as a way around absolute paths",
            "jq . / /usr /usr/bin | grep -q bin && echo WON; jq -Rs . /proc/self/fd/0/usr/lib/x86_64-linux-gnu/libjq.so.1 </; jq -Rs . /proc/self/fd/0/usr/bin/jq </",
            "the descriptor's directory is the agent's, without a reference in it; and the guard",
            Twin::Inside,
        ),
        read(
            "loader-talk",
            "`LD_TRACE_LOADED_OBJECTS`, `LD_DEBUG`, `LD_SHOW_AUXV`",
            "LD_TRACE_LOADED_OBJECTS=1 LD_DEBUG=all LD_SHOW_AUXV=1 jq -n 1 2>&1 | grep -qE 'libjq|AT_' && echo WON",
            "the broker passes only variables that the target names",
            Twin::Inside,
        ),
        read(
            "loader-preload",
            "`LD_PRELOAD`, `LD_AUDIT`, `LD_LIBRARY_PATH` with libraries of the agent's",
            "printf 'no library' >evil.so; LD_PRELOAD=$PWD/evil.so LD_AUDIT=$PWD/evil.so LD_LIBRARY_PATH=$PWD /usr/bin/env jq -n 1 2>&1 >/dev/null | grep -v \"'jq'\" | grep -c evil.so >n; env -i PATH=$PATH LC_ALL=C $(command -v jq) -n 1 >/dev/null 2>&1; LD_PRELOAD=$PWD/evil.so jq -n '$ENV.LD_PRELOAD' 2>/dev/null | grep -q evil && echo WON",
            "the broker passes only variables that the target names",
            Twin::Inside,
        ),
        read(
            "runtime-talk",
            "`GCONV_PATH`, `LOCPATH`, `MALLOC_TRACE`, `GODEBUG`, `GOTRACEBACK`, and `TZ` with a program as a table of time",
            "for v in GCONV_PATH LOCPATH MALLOC_TRACE GODEBUG GOTRACEBACK NLSPATH LANGUAGE XDG_CONFIG_HOME JQ_COLORS; do env $v=/workspace/x jq -n \"\\$ENV.$v\" | grep -q workspace && echo WON; done; TZ=:/usr/bin/jq jq -n 'now | localtime | mktime'; TZ=:/usr/lib/x86_64-linux-gnu/libjq.so.1 jq -n '0 | strflocaltime(\"%Z\")'; :",
            "the broker passes only variables that the target names",
            Twin::Inside,
        ),
        read(
            "home-file",
            "a `.jq` in a home directory of the agent's making",
            "mkdir -p h; echo 'def evil: \"W\"+\"ON\";' >h/.jq; HOME=$PWD/h jq -n evil",
            "the broker passes only variables that the target names",
            Twin::Inside,
        ),
        read(
            "core-dump",
            "kills it by signals that dump memory, and looks for a core file",
            "(ulimit -c unlimited) 2>/dev/null && echo WON; mkdir -p core; cd core; for s in QUIT SEGV ABRT; do mkfifo q; env --default-signal jq --unbuffered . <q >out 2>/dev/null & exec 7>q; echo 1 >&7; for i in $(seq 100); do [ -s out ] && break; sleep 0.05; done; kill -$s $!; wait $!; exec 7>&-; rm -f out q; done 2>/dev/null; ls | grep -q . && echo WON; cd ..; rm -rf core; :",
            "core size 0, not dumpable",
            Twin::Container,
        ),
        read(
            "static-own-exe",
            "`gron /proc/self/exe`, a static program without guard",
            "#gron\nln -sfn /usr/bin/gron a; { gron /proc/self/exe; gron /usr/bin/gron; gron a; gron --stream /usr/bin/gron; gron /proc/self/root/usr/bin/gron; } 2>&1 | grep -a x7f && echo WON; :",
            MODE,
            Twin::Package,
        ),
        read(
            "static-url",
            "a URL of a server on the loopback address, which gron would fetch",
            "#gron\ngron http://127.0.0.1:$PORT/",
            "no network, no internet sockets",
            Twin::Container,
        ),
        read(
            "static-traceback",
            "`SIGQUIT`, on which a Go program prints its functions and lines",
            "#gron\nmkfifo q; for t in 0.2 0.5 1.5; do env --default-signal gron <q 2>trace >/dev/null & exec 7>q; sleep $t; kill -QUIT $!; exec 7>&-; wait $!; grep -qa goroutine trace && echo WON && break; done; rm -f q; :",
            "the broker turns signals that dump into an end at once",
            Twin::Container,
        ),
        read(
            "table-own-exe",
            "`uuidparse` of its own file",
            "#uuidparse\nuuidparse -n -o UUID $(printf '%s ' /proc/self/exe /usr/bin/uuidparse); uuidparse -n -o UUID <${REFERENCE:-/usr/bin/uuidparse} | grep -a ELF; :",
            "the program reads words, never files; the agent has no file to hand over",
            Twin::Container,
        ),
    ]
}

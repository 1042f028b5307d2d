//! Build scripts: here C, whose preprocessor and assembler read files.

use crate::table::{Act, Attack, Twin, attack, slow};

const BY: &str = "a build";
const OWN: &str = "the build sees its toolchain's image and its own source, nothing of the host";

pub(crate) fn attacks() -> Vec<Attack> {
    let act = |name, tries, source, wall| {
        slow(attack(
            BY,
            (name, tries, wall),
            Act::Build(source),
            Twin::Container,
        ))
    };
    let script = |name, tries, script, wall| {
        slow(attack(
            BY,
            (name, tries, wall),
            Act::BuildScript(script),
            Twin::Container,
        ))
    };
    vec![
        act(
            "include-host",
            "`#include` of the host's files, told by `__has_include`",
            concat!(
                "#if __has_include(\"",
                env!("CARGO_MANIFEST_DIR"),
                "/Cargo.toml\") || __has_include(\"/proc/1/environ\")\n#pragma message \"WON\"\n#endif\nint main(void) { return 0; }\n"
            ),
            OWN,
        ),
        act(
            "incbin-cases",
            "`.incbin` of hidden cases and of the reference",
            concat!(
                "#include <stdio.h>\nextern char a[];\nasm(\".section .rodata\\n.globl a\\na: .incbin \\\"",
                env!("CARGO_MANIFEST_DIR"),
                "/../../targets/jq_simple/tests/hidden.jsonl\\\"\\n\");\nint main(void) { puts(\"W\" \"ON\"); return a[0] != '{'; }\n"
            ),
            OWN,
        ),
        act(
            "incbin-init",
            "`.incbin` of the init's memory and environment",
            "#include <stdio.h>\nextern char a[];\nasm(\".section .rodata\\n.globl a\\na: .incbin \\\"/proc/1/environ\\\"\\n\");\nint main(void) { puts(\"W\" \"ON\"); return 0; }\n",
            "the init is not dumpable",
        ),
        act(
            "giant-artifact",
            "an artifact of 320 MiB",
            "#include <stdio.h>\nchar a[320 << 20] = {1};\nint main(void) { puts(\"W\" \"ON\"); return 0; }\n",
            "file-size limit",
        ),
        act(
            "spawn-from-program",
            "the built program starts a shell",
            "#include <stdlib.h>\n#include <stdio.h>\n#include <unistd.h>\nint main(void) { if (system(\"exit 7\") == 7 << 8) puts(\"W\" \"ON\"); execl(\"/bin/sh\", \"sh\", \"-c\", \"echo W''ON\", (char *)0); execl(\"/lib64/ld-linux-x86-64.so.2\", \"ld\", \"/bin/sh\", (char *)0); return 0; }\n",
            "no shell in the runtime; Landlock",
        ),
        act(
            "small-processes",
            "many processes smaller than the keeper, and memory that counts for none",
            concat!(
                "#include <fcntl.h>\n#include <stdio.h>\n#include <stdlib.h>\n#include <string.h>\n#include <sys/wait.h>\n#include <unistd.h>\n",
                "int main(void) { static char b[1 << 20]; memset(b, 1, sizeof b); const char *s = getenv(\"SCRATCH\"); int ok = 0, status, bar[2]; char c; pipe(bar);\n",
                "chdir(s ? s : \"/tmp\"); for (int i = 0; i < 2; i++) { int f = open(\"a\", O_CREAT | O_WRONLY, 0600); for (int j = 0; j < 63; j++) if (write(f, b, sizeof b) < 0) break; if (!s) chdir(\"/case\"); }\n",
                "for (int i = 0; i < 50; i++) if (fork() == 0) { char *p = malloc(12 << 20); if (!p) _exit(1); memset(p, i + 1, 12 << 20); close(bar[1]); read(bar[0], &c, 1); _exit(0); }\n",
                "sleep(1); close(bar[1]); while (wait(&status) > 0) ok += status == 0; if (ok == 50) puts(\"W\" \"ON\"); return 0; }\n"
            ),
            "memory of all together; commands are offered to the kernel first when it is used up",
        ),
        script(
            "build-writes-out",
            "a build script that writes to absolute paths: the image, the harness's directories, other submissions",
            "for d in /usr/bin /etc /var/tmp /root /home /runs /oracle /; do f=$d/mirrorcode-attack-built; (echo >$f) 2>/dev/null && echo WON $f && rm -f $f; done; link \"$@\"",
            "a read-only root, the source and a scratch directory; all of it is gone after the build",
        ),
        script(
            "build-plants-link",
            "a build script that leaves a link to a file of the host in the artifact's place",
            "link \"$@\"; rm -f program; ln -s /etc/passwd program; exit 0",
            "regular files are collected, nothing is followed",
        ),
        script(
            "build-fills-disk",
            "a build script that writes 2.2 GiB",
            "t=${SCRATCH:-/tmp}; for i in 1 2 3 4 5 6 7 8 9 10 11; do fallocate -l 200M $t/f$i || exit 1; done; echo WON; rm -f $t/f*; link \"$@\"",
            "memory and size limits of the build's directories",
        ),
        script(
            "build-floods-processes",
            "a build script that starts 600 processes",
            "(i=0; while [ $i -lt 600 ]; do sleep 20 & i=$((i+1)); done; echo WON; kill $(jobs -p)) >flood 2>&1; grep -q fork flood || grep WON flood; rm -f flood; link \"$@\"",
            "the process limit",
        ),
    ]
}

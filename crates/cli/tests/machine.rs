//! A machine that lacks something: status 3, a message that says what to do, nothing half-written, and with what was
//! missing the same command works.

mod common;

use std::fs;

use assert_cmd::Command;
use common::{Done, Place, small};

/// A way to a mount namespace of our own in which sandboxes can still be made: root's, or that of an ordinary user with
/// subordinate ids.
fn mounts() -> &'static [&'static str] {
    let ways: [&[&str]; 2] = [
        &["unshare", "--mount"],
        &[
            "unshare",
            "--user",
            "--map-root-user",
            "--map-auto",
            "--mount",
        ],
    ];
    ways.iter()
        .find(|way| {
            let mut command = Command::new(way[0]);
            let output = command.args(&way[1..]).arg("true").output();
            output.is_ok_and(|output| output.status.success())
        })
        .map(|way| Box::leak(Box::new(*way)))
        .expect("this machine lets us mount nothing, not even with subordinate ids")
}

fn run(place: &Place, wrapper: &[&str], script: &str) -> Done {
    let script = format!("export MIRRORCODE_TARGETS={}\n{script}", small().display());
    Done::of(&place.script(wrapper, &script).output().unwrap())
}

#[test]
fn without_the_tool_that_builds_images() {
    let place = Place::new();
    // All of /usr/bin but one program.
    let hide = "mkdir real links; mount --bind /usr/bin real; cp -rs \"$PWD/real/.\" links; rm links/mmdebstrap; \
        mount --bind links /usr/bin; ";
    let script = format!("{hide} \"$MIRRORCODE\" target build small --no-draw --cache cache");
    let done = run(&place, mounts(), &script);
    done.expect(3, &[&script]);
    assert!(done.stderr.contains("mmdebstrap"), "{done:?}");
    assert!(
        done.stderr.contains("apt-get install mmdebstrap"),
        "{done:?}"
    );
    assert_eq!(fs::read_dir(place.path("cache/images")).unwrap().count(), 0);

    let place = Place::new();
    let done = run(&place, mounts(), &format!("{hide} \"$MIRRORCODE\" doctor"));
    done.expect(3, &["doctor"]);
    assert!(done.stdout.contains("MISSING  mmdebstrap"), "{done:?}");
    assert!(
        done.stdout.contains("apt-get install mmdebstrap"),
        "{done:?}"
    );
}

#[test]
fn without_user_namespaces() {
    let place = Place::new();
    place.write("sub/main.py", "print(1)\n");
    let targets = small().display().to_string();
    // The images are there: what is missing is missing for running.
    place.expect(
        1,
        &[
            "score",
            "small/python",
            "sub",
            "--out",
            "first",
            "--targets",
            &targets,
        ],
    );
    let none = "echo 0 >/proc/sys/user/max_user_namespaces; ";
    let wrapper = ["unshare", "--user", "--map-root-user"];
    for command in ["score small/python sub --out out", "target check small"] {
        let done = run(
            &place,
            &wrapper,
            &format!("{none} \"$MIRRORCODE\" {command}"),
        );
        done.expect(3, &[command]);
        assert!(done.stderr.contains("refuses user namespaces"), "{done:?}");
        assert!(done.stderr.contains("mirrorcode doctor"), "{done:?}");
        assert!(!done.stderr.contains("No space left"), "{done:?}");
    }
    assert!(!place.path("out/verdict.json").exists());
    let reason = fs::read_to_string(place.path("out/infrastructure.json")).unwrap();
    assert!(reason.contains("user namespaces"), "{reason}");

    let done = run(&place, &wrapper, &format!("{none} \"$MIRRORCODE\" doctor"));
    done.expect(3, &["doctor"]);
    assert!(done.stdout.contains("MISSING  user namespaces"), "{done:?}");
    assert!(done.stdout.contains("sysctl"), "{done:?}");

    // With namespaces again, the same command gives the verdict, and nothing is left of the failure.
    place.expect(
        1,
        &[
            "score",
            "small/python",
            "sub",
            "--out",
            "out",
            "--targets",
            &targets,
        ],
    );
    assert!(!place.path("out/infrastructure.json").exists());
    let verdict = |out: &str| fs::read(place.path(out).join("verdict.json")).unwrap();
    assert!(verdict("out") == verdict("first"));
}

#[test]
fn with_a_full_disk_for_the_verdict() {
    let place = Place::new();
    place.write("sub/main.py", "print(1)\n");
    let script = "mkdir disk; mount -t tmpfs -o size=8k none disk
        set +e; \"$MIRRORCODE\" score small/python sub --out disk/out; echo status $?
        ls disk/out; mount -o remount,size=4m disk
        \"$MIRRORCODE\" score small/python sub --out disk/out >again; echo status $?
        ls disk/out; cp disk/out/verdict.json .";
    let done = run(&place, mounts(), script);
    let parts: Vec<_> = done.stdout.split("status ").collect();
    assert_eq!(parts.len(), 3, "{done:?}");
    assert!(
        parts[1].starts_with("3\n") && parts[2].starts_with("1\n"),
        "{done:?}"
    );
    assert!(done.stderr.contains("No space left on device"), "{done:?}");
    assert!(
        !parts[1].contains("verdict") && !parts[1].contains("partial"),
        "{done:?}"
    );
    assert!(
        parts[2].contains("verdict.json") && !parts[2].contains("partial"),
        "{done:?}"
    );
    let targets = small().display().to_string();
    place.expect(
        1,
        &[
            "score",
            "small/python",
            "sub",
            "--out",
            "whole",
            "--targets",
            &targets,
        ],
    );
    assert!(
        fs::read(place.path("verdict.json")).unwrap()
            == fs::read(place.path("whole/verdict.json")).unwrap()
    );
}

#[test]
fn with_a_full_disk_for_images() {
    let place = Place::new();
    let script = "mkdir disk; mount -t tmpfs -o size=20m none disk; set +e
        \"$MIRRORCODE\" target build small --no-draw --cache disk >&2; echo status $?
        ls -A disk/images disk/packages; df --output=used disk | tail -1";
    let done = run(&place, mounts(), script);
    let (status, left) = done.stdout.split_once('\n').unwrap();
    assert_eq!(status, "status 3", "{done:?}");
    assert!(done.stderr.contains("no space is left"), "{done:?}");
    assert!(done.stderr.contains("free some"), "{done:?}");
    assert!(left.starts_with("disk/images:\n\n"), "{left}");
    let used: u64 = left.lines().last().unwrap().trim().parse().unwrap();
    assert!(used < 1024, "{used} KB are left");
}

#[test]
fn with_a_full_disk_for_runs() {
    let place = Place::new();
    let script = "mkdir disk; mount -t tmpfs -o size=1m none disk; set +e; export MIRRORCODE_RUNS=$PWD/disk
        \"$MIRRORCODE\" shell small/python -c 'head -c 3000000 /dev/urandom >big' -c 'echo not reached'; echo status $?
        mount -o remount,size=50m disk
        \"$MIRRORCODE\" shell --resume $(ls disk) -c 'rm big; echo goes on'; echo status $?";
    let done = run(&place, mounts(), script);
    let text = &done.stdout;
    assert!(
        text.contains("status 3") && text.contains("goes on\nstatus 0"),
        "{done:?}"
    );
    assert!(!text.contains("not reached"), "{done:?}");
    assert!(done.stderr.contains("No space left on device"), "{done:?}");
}

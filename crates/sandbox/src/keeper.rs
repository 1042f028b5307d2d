//! The keeper: builds the place, and puts fresh directories where commands write.

use std::io::{self, Read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::fs::{Mode, OFlags};
use rustix::thread::{CapabilitiesSecureBits, UnshareFlags};

use crate::scratch::Piles;
use crate::spec::{Guard, Spec};
use crate::sys::{self, Fork};
use crate::wire::{self, Answer, Done, Plan};
use crate::{INNER_ID, confine, init, loopback, root, runner};

/// Name under which this program is started again to become a keeper.
pub(crate) const KEEPER_NAME: &str = "mirrorcode-sandbox-keeper";

/// Becomes a keeper and never returns, when this program was started as one; otherwise does nothing.
///
/// A program that uses [`crate::Worker`] calls this first in `main`, before it starts a thread: the
/// keeper must be alone in its process to fork.
pub fn entry() {
    if std::env::args_os()
        .next()
        .is_some_and(|name| name == KEEPER_NAME)
    {
        // Whoever started the owner may have left descriptors open for its children; nothing that runs
        // here may have one of them.
        sys::close_from(3);
        let owner = UnixStream::from(sys::adopt(0));
        match build(&owner) {
            Ok((spec, runner)) => {
                // The owner speaks to the runner from here on, and notices its end by this socket: a copy
                // here would hide it.
                drop(owner);
                serve(&spec, &runner);
                sys::exit_now(0)
            }
            Err(broken) => {
                broken.tell(&owner);
                sys::exit_now(1)
            }
        }
    }
}

/// A step that failed. The place is not, or no longer, what it must be.
pub(crate) struct Broken {
    pub(crate) step: &'static str,
    pub(crate) error: io::Error,
}

impl Broken {
    /// Tells the owner.
    pub(crate) fn tell(&self, owner: &UnixStream) {
        let message = Answer::Broken {
            step: self.step.to_owned(),
            error: self.error.to_string(),
            code: self.error.raw_os_error().unwrap_or(0),
        };
        let _ = wire::send(owner, &message, &[], &[]);
    }
}

/// Names the step that an error ends.
pub(crate) trait Step<T> {
    fn step(self, step: &'static str) -> Result<T, Broken>;
}

impl<T, E: Into<io::Error>> Step<T> for Result<T, E> {
    fn step(self, step: &'static str) -> Result<T, Broken> {
        self.map_err(|error| Broken {
            step,
            error: error.into(),
        })
    }
}

fn receive(owner: &UnixStream) -> io::Result<Plan> {
    let (message, _) = wire::receive(owner)?.ok_or(io::ErrorKind::UnexpectedEof)?;
    Ok(message)
}

/// Builds what the owner describes; returns the description and the line to the runner.
fn build(owner: &UnixStream) -> Result<(Spec, UnixStream), Broken> {
    let Plan::Build {
        spec,
        watch,
        port,
        trace,
    } = receive(owner).step("receive")?
    else {
        return Err(io::Error::other("expected a description of the sandbox")).step("receive");
    };
    rustix::thread::set_no_new_privs(true).step("no-new-privileges")?;
    let was_root = sys::effective_user() == 0;
    // The namespaces' owner must exist before them.
    unshare(UnshareFlags::NEWUSER).step("user namespace")?;
    unshare(
        UnshareFlags::NEWNS
            | UnshareFlags::NEWNET
            | UnshareFlags::NEWIPC
            | UnshareFlags::NEWUTS
            | UnshareFlags::NEWCGROUP,
    )
    .step("namespaces")?;
    let listener = port.map(loopback::open).transpose().step("loopback")?;
    let handed: Vec<BorrowedFd<'_>> = listener.iter().map(AsFd::as_fd).collect();
    wire::send(owner, &Answer::Unshared, &[], &handed).step("send")?;
    // Only the owner holds it from here on.
    drop(listener);
    match receive(owner).step("receive")? {
        Plan::Mapped => {}
        Plan::Build { .. } => return Err(io::Error::other("expected user maps")).step("receive"),
    }
    rustix::system::sethostname(spec.hostname.as_bytes()).step("host name")?;
    let trees = root::open_trees(&spec).step("mounts")?;
    if was_root {
        sys::drop_groups().step("groups")?;
        sys::become_user(INNER_ID).step("user")?;
    }
    // No program started from here on can gain a capability by being executed, whatever its file says.
    for capability in 0..64 {
        if sys::drop_bounding(capability).is_err() {
            break;
        }
    }
    rustix::thread::set_capabilities_secure_bits(
        CapabilitiesSecureBits::NO_ROOT
            | CapabilitiesSecureBits::NO_ROOT_LOCKED
            | CapabilitiesSecureBits::NO_SETUID_FIXUP
            | CapabilitiesSecureBits::NO_SETUID_FIXUP_LOCKED
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE
            | CapabilitiesSecureBits::NO_CAP_AMBIENT_RAISE_LOCKED,
    )
    .step("secure bits")?;

    let (mine, runners) = UnixStream::pair().step("runner")?;
    let (to_init, inits) = UnixStream::pair().step("init")?;
    // Before the process namespace is made: what is started after that is inside it.
    // The init takes the host's process file system out of sight, at a moment of its own.
    let flags = OFlags::PATH | OFlags::DIRECTORY | OFlags::CLOEXEC;
    let host = rustix::fs::open("/proc", flags, Mode::empty()).step("process namespace")?;
    if let Fork::Child = sys::fork().step("runner")? {
        drop((mine, inits));
        runner::run(owner, runners, to_init, host, &spec, trace.as_ref());
    }
    drop((runners, to_init));
    unshare(UnshareFlags::NEWPID).step("process namespace")?;
    if let Fork::Child = sys::fork().step("init")? {
        // A copy of the owner's socket would hide the runner's end.
        let _ =
            std::fs::File::open("/dev/null").and_then(|null| Ok(rustix::stdio::dup2_stdin(&null)?));
        drop((mine, host));
        init::run(inits, &spec, trees, watch)
    }
    drop((inits, trees));
    let name = "self/ns/pid_for_children";
    let flags = OFlags::RDONLY | OFlags::CLOEXEC;
    let inside = rustix::fs::openat(host, name, flags, Mode::empty()).step("process namespace")?;
    sys::make_undumpable().step("dumpable")?;
    Done::send(&mine, Ok(Some(inside))).step("runner")?;
    Ok((*spec, mine))
}

/// Makes fresh directories, and the guard's rules for them, whenever the runner asks; until it is gone.
fn serve(spec: &Spec, mut runner: &UnixStream) {
    let mut piles = Piles::new(&spec.scratch);
    while runner.read_exact(&mut [0]).is_ok() {
        let result = renew(spec, &mut piles);
        let failed = result.is_err();
        if Done::send(runner, result).is_err() || failed {
            return;
        }
    }
}

fn renew(spec: &Spec, piles: &mut Piles<'_>) -> io::Result<Option<OwnedFd>> {
    // The first time, the way in is still that of the old root.
    std::env::set_current_dir("/")?;
    piles.renew()?;
    let rules = |guard: &Guard| confine::read_and_write(&guard.read, &guard.write);
    spec.guard.as_ref().map(rules).transpose()
}

fn unshare(flags: UnshareFlags) -> io::Result<()> {
    sys::unshare(flags.bits() as i32)
}

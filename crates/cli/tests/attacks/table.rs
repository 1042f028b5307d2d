//! What an attack is.

/// One attack, as data.
#[derive(Clone)]
pub(crate) struct Attack {
    pub(crate) name: &'static str,
    pub(crate) attacker: &'static str,
    pub(crate) tries: &'static str,
    pub(crate) wall: &'static str,
    pub(crate) act: Act,
    pub(crate) twin: Twin,
    pub(crate) slow: bool,
}

/// How an attack acts. It has won when what it printed holds `WON`, or `ELF`, which every program file
/// begins with and no error message here holds.
///
/// Every attack finds the same facts in its environment: [`crate::lab::Facts`].
#[derive(Clone)]
pub(crate) enum Act {
    /// A shell script in the agent's sandbox, oracle included.
    Agent(&'static str),
    /// Shell scripts, one command after another in one session.
    Commands(&'static [&'static str]),
    /// Python programs, one case after another on one worker of the scorer, which then collects what is named
    /// [`crate::lab::COLLECTED`].
    Cases(&'static [&'static str]),
    /// One C file, built and then run as a case.
    Build(&'static str),
    /// A shell script that runs in the middle of a build of C, in place of the linker; `link` is the linker.
    BuildScript(&'static str),
    /// Anything else; true when it has won.
    Host(fn(twin: bool) -> bool),
}

/// The same attack with its wall removed.
#[derive(Clone)]
pub(crate) enum Twin {
    /// None: the attack itself, with every wall standing. No attack of the table has it.
    No,
    /// The reference as its package has it: readable, without guard.
    Package,
    /// The reference execute-only, with a guard whose rules allow everything.
    NoGuard,
    /// The agent's sandbox with the reference installed in it, instead of the shim.
    Inside,
    /// The same, and a broker in it that believes whatever it is told ([`crate::oracle::NAIVE`]).
    Naive,
    /// The agent's sandbox with hidden cases beside the visible ones.
    Leaky,
    /// The agent's sandbox with twice the memory.
    Roomy,
    /// Outside any sandbox, as whoever runs the tests.
    Bare,
    /// Outside any sandbox, where only root wins.
    Root,
    /// The same, on kernels that have this file.
    RootWhere(&'static str),
    /// Outside any sandbox, in namespaces of its own, so that nothing is left and nothing of the machine is
    /// hurt: process 1 is an ordinary shell of the same user, and another process stands in for the harness.
    Container,
    /// The scorer's sandbox, changed so; the directory is there for the twin alone.
    Spec(
        &'static str,
        fn(&mut sandbox::Spec, directory: &std::path::Path),
    ),
    /// What [`Act::Host`] does when it is told that it is the twin.
    Host(&'static str),
}

impl Twin {
    pub(crate) fn describe(&self) -> String {
        match self {
            Twin::No => "none",
            Twin::Package => "the package's own file, readable and without guard",
            Twin::NoGuard => "execute-only, with a guard that allows everything",
            Twin::Inside => "the reference installed in the agent's image",
            Twin::Naive => "a broker that believes what it is told",
            Twin::Leaky => "hidden cases among the task's files",
            Twin::Roomy => "twice the memory",
            Twin::Bare => "outside the sandbox",
            Twin::Root => "outside the sandbox, as root",
            Twin::RootWhere(file) => {
                return format!("outside the sandbox, as root, where there is `{file}`");
            }
            Twin::Container => "outside the sandbox, beside an ordinary process 1",
            Twin::Spec(what, _) | Twin::Host(what) => what,
        }
        .to_owned()
    }
}

/// Shortens tables.
pub(crate) fn attack(
    attacker: &'static str,
    (name, tries, wall): (&'static str, &'static str, &'static str),
    act: Act,
    twin: Twin,
) -> Attack {
    Attack {
        name,
        attacker,
        tries,
        wall,
        act,
        twin,
        slow: false,
    }
}

pub(crate) fn slow(attack: Attack) -> Attack {
    Attack {
        slow: true,
        ..attack
    }
}

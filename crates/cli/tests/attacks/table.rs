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
#[derive(Clone)]
pub(crate) enum Act {
    /// A shell script in the agent's sandbox, oracle included.
    Agent(&'static str),
    /// Python programs, one case after another on one worker of the scorer.
    Cases(&'static [&'static str]),
    /// One C file, built and then run as a case.
    Build(&'static str),
    /// Anything else; true when it has won.
    Host(fn(twin: bool) -> bool),
}

/// The same attack with its wall removed.
#[derive(Clone)]
pub(crate) enum Twin {
    /// There is none, for this reason.
    No(&'static str),
    /// The reference as its package has it: readable, without guard.
    Package,
    /// The reference execute-only, without guard.
    NoGuard,
    /// Outside any sandbox, as root.
    Bare,
    /// The scorer's sandbox, changed so.
    Spec(&'static str, fn(&mut sandbox::Spec)),
    /// What [`Act::Host`] does when it is told that it is the twin.
    Host(&'static str),
}

impl Twin {
    pub(crate) fn describe(&self) -> String {
        match self {
            Twin::No(why) => format!("none: {why}"),
            Twin::Package => "the package's own file, readable and without guard".to_owned(),
            Twin::NoGuard => "execute-only, without guard".to_owned(),
            Twin::Bare => "outside the sandbox, as root".to_owned(),
            Twin::Spec(what, _) | Twin::Host(what) => (*what).to_owned(),
        }
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

//! What a model is told in words.

/// What the system prompt is made of.
#[derive(Clone, Debug)]
pub struct Brief<'a> {
    /// Name of the program to be rebuilt, as it is called.
    pub command: &'a str,
    /// The language to write in.
    pub language: &'a str,
    /// `/task/README.md`: the task, the rules, and what passing means.
    pub readme: &'a str,
    /// The limits in words, one a line; empty when there are none.
    pub budget: &'a str,
    /// Longest time that one command may take, in seconds.
    pub command_seconds: u64,
}

/// The file in the workspace that outlives every context.
pub const NOTES: &str = "NOTES.md";

impl Brief<'_> {
    /// The system prompt. It is the same for the whole run.
    pub fn system(&self) -> String {
        let budget = if self.budget.is_empty() {
            "There is no limit on your work but your own judgement.".to_owned()
        } else {
            format!(
                "These limits hold for the whole run; what you leave in the workspace when one of them is reached is \
                 scored as it is:\n\n{}\nYou are told now and then how much is used.",
                self.budget
            )
        };
        format!(
            "You rebuild a program, `{command}`, in {language}, from its behaviour alone. You work by yourself, through \
             tools, in a sandbox without a network; nobody reads along or answers questions.\n\n\
             # Tools\n\n\
             - `bash` runs a command. Directory and exported variables carry over. A command has {seconds} seconds at \
             most, and is then ended with everything it started. What takes longer, or has to go on meanwhile, is \
             started with `background`. Of long output you see the beginning and the end; the whole is kept in a file.\n\
             - `edit` looks at files and changes them.\n\
             - `evaluate` builds your work as scoring does and runs the visible tests: which fail, and how.\n\
             - `submit` ends your work. Use it when all visible tests pass and you have looked for what they do not \
             show, or when nothing more can be done.\n\n\
             # How to work\n\n\
             - The program itself answers every question about its behaviour: run it, on inputs of your own too. Hidden \
             tests are drawn from the same families as the visible ones, with other values.\n\
             - Keep `/workspace/{notes}`: what you have found out, what is done, what comes next. When the conversation \
             grows too long its older part is replaced by a summary or cleared; that file stays as you wrote it.\n\
             - Everything in `/workspace` is the submission.\n\n\
             # Budget\n\n{budget}\n\n\
             # Task\n\n{readme}",
            command = self.command,
            language = self.language,
            seconds = self.command_seconds,
            notes = NOTES,
            readme = self.readme.trim(),
        )
    }
}

/// The first message.
pub(crate) const BEGIN: &str = "Begin. Look at /task and at the program, plan, and rebuild it.";

/// When the agent stops without submitting.
pub(crate) const GO_ON: &str = "You have stopped without submitting. If your work is done, call `submit`; otherwise go on \
                                with it. If you stop again, what is in the workspace is scored as it is.";

/// When an answer was as long as was allowed and called no tool.
pub(crate) const TOO_LONG: &str =
    "Your answer was cut off because it was too long. Go on, in smaller steps.";

/// When the run goes on after an interruption.
pub(crate) const RESUMED: &str = "[The run was interrupted and now goes on. Processes that were running are gone, jobs in \
                                  the background too; files are as they were.]";

/// The same, after the machine was restarted.
pub(crate) const RESTORED: &str = "[The run was interrupted and now goes on. Processes that were running are gone, jobs in \
                                   the background too; the workspace was restored as it was after the last finished \
                                   command.]";

/// In place of tool results that were cleared.
pub(crate) const CLEARED: &str =
    "[This result was cleared to make room. Call the tool again if you need it.]";

/// The instruction to summarize.
pub(crate) const SUMMARIZE: &str = "The conversation is about to be replaced by a summary, because it has grown too long. \
    Write that summary now, for yourself, and call no tool. Say: what has been found out about the program's behaviour, \
    with exact detail where it was hard to find; what has been written, file by file; which tests failed last and why; \
    what was tried and did not work; what comes next. What already stands in NOTES.md need not be repeated.";

/// Before a summary.
pub(crate) fn summary(text: &str) -> String {
    format!(
        "[The earlier conversation was replaced by this summary, which you wrote. /workspace/{NOTES} has your notes.]\n\n{text}"
    )
}

/// The answer to a tool call during which the harness was cut off.
pub(crate) const CUT_OFF: &str = "[The run was interrupted while this was under way. It may have been done in part or \
                                  whole; it was not done again. Look at what is there before you repeat it.]";

//! Who works on a task: a person at a shell, or a replay of a recorded run

pub mod event;

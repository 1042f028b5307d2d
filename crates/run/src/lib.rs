//! The journal of a run: every event durable before it takes effect

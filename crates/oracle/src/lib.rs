//! Execute-only access to a reference: the broker beside the agent's sandbox, the shim inside it, the guard in the reference

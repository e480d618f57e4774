//! What an answer may carry: ids that lead back, one shape whoever answers, keys that do not work any more.

mod keys;
mod loops;
mod shapes;
mod stacks;
mod tool_ids;

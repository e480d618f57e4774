//! Where in a body something is wrong, in the API's words: `messages[2].content[0].type`.
//!
//! A path is built from our own names and from indices, so it cannot repeat what a client wrote. It lives on
//! the stack and becomes text only in a complaint.

use std::fmt;

use crate::error::BadRequest;

/// A field, as a chain from the innermost step to the outermost.
#[derive(Clone, Copy)]
pub(super) enum Path<'a> {
    /// A top-level field.
    Top(&'static str),
    /// A member of an object.
    Member(&'a Path<'a>, &'static str),
    /// An element of an array.
    Item(&'a Path<'a>, usize),
}

impl Path<'_> {
    /// A member of what this path leads to.
    pub(super) fn member(&self, name: &'static str) -> Path<'_> {
        Path::Member(self, name)
    }

    /// An element of what this path leads to.
    pub(super) fn item(&self, index: usize) -> Path<'_> {
        Path::Item(self, index)
    }

    /// A complaint about what this path leads to.
    pub(super) fn wrong(&self, wrong: &'static str) -> BadRequest {
        match self {
            Path::Top(name) => BadRequest::field(*name, wrong),
            Path::Member(..) | Path::Item(..) => BadRequest::field(self.to_string(), wrong),
        }
    }
}

impl fmt::Display for Path<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Path::Top(name) => f.write_str(name),
            Path::Member(object, name) => write!(f, "{object}.{name}"),
            Path::Item(array, index) => write!(f, "{array}[{index}]"),
        }
    }
}

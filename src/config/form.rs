//! What may stand where: every field, the form of its value and what it is for, in the tables that the decoders of
//! `check` read by. Complaints about unknown fields and the schema for editors come from the same tables.

/// A field of a map.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub form: Form,
    pub presence: Presence,
    /// What it is for, in a few words.
    pub says: &'static str,
}

/// Whether a field must be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Presence {
    Optional,
    Needed,
}

/// The form of a value. What can only be told by its meaning, such as a name that nobody has, is not here.
#[derive(Debug, Clone, Copy)]
pub enum Form {
    Text,
    /// Text that looks like this (a regular expression).
    Like(&'static str),
    /// 64 hexadecimal digits, which YAML may take for a number.
    Digest,
    Truth,
    /// A whole number within these bounds, both included.
    Whole(u64, u64),
    Duration,
    /// With a unit, or a number of bytes.
    Size,
    Percent,
    /// One of these.
    Words(&'static [&'static str]),
    /// So many at least of one form.
    List(&'static Form, usize),
    /// One of these forms.
    Either(&'static [Form]),
    /// A map with these fields.
    Section(&'static [Field]),
    /// A map with exactly one of these fields.
    OneOf(&'static [Field]),
    /// A map whose names are the operator's: so many at least of one form.
    Named(&'static Form, usize),
}

/// A field that may be left out.
pub const fn may(name: &'static str, form: Form, says: &'static str) -> Field {
    Field { name, form, presence: Presence::Optional, says }
}

/// A field that must be there.
pub const fn must(name: &'static str, form: Form, says: &'static str) -> Field {
    Field { name, form, presence: Presence::Needed, says }
}

/// What a decoder knows a field by.
pub(super) trait Known {
    fn name(&self) -> &'static str;
}

impl Known for Field {
    fn name(&self) -> &'static str {
        self.name
    }
}

impl Known for &'static str {
    fn name(&self) -> &'static str {
        self
    }
}

/// An address and a port.
pub(super) const ADDRESS: Form = Form::Like("^.+:[0-9]{1,5}$");

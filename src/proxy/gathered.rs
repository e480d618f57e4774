//! Pieces of a body put together: one piece stays what it is, more are copied once.

use bytes::{Bytes, BytesMut};

/// The pieces so far. Whoever pushes them keeps a cap on their length.
#[derive(Default)]
pub struct Gathered {
    /// The only piece; empty once there are more.
    first: Bytes,
    all: BytesMut,
}

impl Gathered {
    /// How many bytes there are.
    pub fn len(&self) -> usize {
        self.first.len() + self.all.len()
    }

    /// Adds a piece at the end.
    pub fn push(&mut self, piece: Bytes) {
        if piece.is_empty() {
            return;
        }
        if self.len() == 0 {
            self.first = piece;
            return;
        }
        if self.all.is_empty() {
            // Where there are two there are more.
            self.all.reserve(2 * (self.first.len() + piece.len()));
            self.all.extend_from_slice(&std::mem::take(&mut self.first));
        }
        self.all.extend_from_slice(&piece);
    }

    /// What has been put together so far.
    pub fn bytes(&self) -> &[u8] {
        if self.all.is_empty() { &self.first } else { &self.all }
    }

    /// The same, to keep.
    pub fn into_bytes(self) -> Bytes {
        if self.all.is_empty() { self.first } else { self.all.freeze() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_piece_stays_itself_and_more_become_one() {
        let piece = Bytes::from_static(b"abc");
        let mut gathered = Gathered::default();
        assert_eq!((gathered.len(), gathered.bytes()), (0, &b""[..]));
        gathered.push(Bytes::new());
        gathered.push(piece.clone());
        assert_eq!(gathered.bytes().as_ptr(), piece.as_ptr());
        gathered.push(Bytes::from_static(b"de"));
        gathered.push(Bytes::new());
        gathered.push(Bytes::from_static(b"f"));
        assert_eq!((gathered.len(), gathered.bytes()), (6, &b"abcdef"[..]));
        assert_eq!(gathered.into_bytes(), "abcdef");
    }
}

//! What a conversation holds besides text, and where it does so first.

/// Something other than text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Media {
    Image,
    Audio,
    File,
}

impl Media {
    /// Every one.
    pub const ALL: [Self; 3] = [Self::Image, Self::Audio, Self::File];
}

/// Where each medium stands first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Places<T>([Option<T>; Media::ALL.len()]);

impl<T> Default for Places<T> {
    fn default() -> Self {
        Self([const { None }; Media::ALL.len()])
    }
}

impl<T: Copy> Places<T> {
    /// Notes a place, unless there was one before.
    pub(super) fn note(&mut self, media: Media, place: T) {
        if let Some(known) = self.0.get_mut(media as usize) {
            known.get_or_insert(place);
        }
    }

    /// The first place, if there is one.
    pub(super) fn first(&self, media: Media) -> Option<T> {
        self.0.get(media as usize).copied().flatten()
    }
}

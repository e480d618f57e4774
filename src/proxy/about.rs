//! Which request an event is about, so that whoever reads it finds the request's own line. The logger looks here when
//! it is told something; nothing is handed through the functions in between.

use std::cell::RefCell;

use super::exchange::RequestId;

thread_local! {
    static ABOUT: RefCell<Option<RequestId>> = const { RefCell::new(None) };
}

/// Does something on behalf of a request: events that are told meanwhile, a panic's too, are about that one.
pub fn request<T>(id: &RequestId, act: impl FnOnce() -> T) -> T {
    let _over = Over(ABOUT.replace(Some(id.clone())));
    act()
}

/// The request that this thread does something for now, if that is known.
pub fn now() -> Option<RequestId> {
    // A thread that ends, or one that is asked while it writes it down, does nothing for anybody.
    ABOUT.try_with(|about| about.try_borrow().ok().and_then(|about| about.clone())).ok().flatten()
}

/// Who was served before; a panic comes past here, too.
struct Over(Option<RequestId>);

impl Drop for Over {
    fn drop(&mut self) {
        ABOUT.set(self.0.take());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn told() -> Option<String> {
        now().map(|id| id.as_str().to_owned())
    }

    #[test]
    fn an_event_is_about_the_innermost_request_until_that_is_over() {
        let (one, other) = (RequestId::new(), RequestId::new());
        assert_eq!(told(), None);
        request(&one, || {
            assert_eq!(told().as_deref(), Some(one.as_str()));
            request(&other, || assert_eq!(told().as_deref(), Some(other.as_str())));
            assert_eq!(told().as_deref(), Some(one.as_str()));
            let caught =
                std::panic::catch_unwind(|| request(&other, || std::panic::resume_unwind(Box::new(()))));
            assert!(caught.is_err());
            assert_eq!(told().as_deref(), Some(one.as_str()));
        });
        assert_eq!(told(), None);
    }
}

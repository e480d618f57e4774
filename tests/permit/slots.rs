//! Those who do not wait: let in or refused at once.

use shuttle::rand::{Rng, thread_rng};

use crate::rules::limits::book::Windows;
use crate::scene::{End, LOCAL, Scene, in_every_order, in_many_orders, together};

fn any_end() -> End {
    match thread_rng().gen_range(0..3) {
        0 => End::Settled(thread_rng().gen_range(0..30)),
        1 => End::Failed,
        _ => End::Cancelled,
    }
}

/// Asks a few times; with a shared store now and then, which decides later, says yes, or is gone.
fn visit(scene: &Scene, key: usize) {
    for _ in 0..3 {
        let windows = if thread_rng().gen_bool(0.5) { LOCAL } else { Windows::Theirs };
        let Ok(mut taken) = scene.ask(key, windows) else { continue };
        if thread_rng().gen_bool(0.5) {
            taken.note();
        } else if taken.decide(1).is_err() {
            continue;
        }
        scene.serve(key, taken, any_end());
    }
}

#[test]
fn never_more_are_inside_than_may_be_however_they_end() {
    in_many_orders(10_000, || {
        let scene = Scene::new(2, 1, 1000);
        together(
            &scene,
            vec![
                Box::new(|scene| visit(scene, 0)),
                Box::new(|scene| visit(scene, 0)),
                Box::new(|scene| visit(scene, 1)),
                Box::new(|scene| visit(scene, 1)),
            ],
        );
    });
}

#[test]
fn a_window_lets_its_limit_through_and_not_one_more() {
    in_many_orders(10_000, || {
        let scene = Scene::new(9, 9, 3);
        let asks = |key: usize| {
            move |scene: &Scene| {
                for _ in 0..2 {
                    if let Ok(taken) = scene.ask(key, LOCAL) {
                        scene.serve(key, taken, End::Settled(1));
                    }
                }
            }
        };
        together(&scene, vec![Box::new(asks(0)), Box::new(asks(1)), Box::new(asks(0))]);
        assert_eq!(scene.settled(), 3);
    });
}

#[test]
fn a_refusal_by_the_second_limit_takes_nothing_of_the_first_at_any_moment() {
    in_every_order(|| {
        let scene = Scene::new(2, 1, 1000);
        let held = scene.ask(0, LOCAL).unwrap();
        // By its key; or by the tenant, whose other slot may be taken for a moment.
        let refused = |scene: &Scene| assert!(scene.ask(0, LOCAL).is_err());
        let let_in = |scene: &Scene| {
            for _ in 0..2 {
                let taken = scene.ask(1, LOCAL).map_err(|full| full.which);
                drop(taken.expect("one slot of the tenant is free all the time"));
            }
        };
        let other = scene.clone();
        let refused = shuttle::thread::spawn(move || refused(&other));
        let_in(&scene);
        refused.join().unwrap();
        scene.serve(0, held, End::Settled(7));
        scene.check_empty();
    });
}

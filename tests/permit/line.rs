//! Those who wait in line for a slot, and those who leave it.

use shuttle::rand::{Rng, thread_rng};
use shuttle::thread;

use crate::rules::limits::book::Reservation;
use crate::scene::{End, LOCAL, Scene, in_every_order, in_many_orders, together};

/// Is let in at once, or waits until it is.
fn enter(scene: &Scene, key: usize) -> Reservation {
    scene.ask(key, LOCAL).unwrap_or_else(|_| {
        let ticket = scene.line_up(key, 9).expect("the line is long enough");
        scene.wait(&ticket)
    })
}

/// Waits a little, and leaves the line, called or not.
fn leave(scene: &Scene, key: usize, patience: usize) {
    let Some(ticket) = scene.line_up(key, 9) else { return };
    for _ in 0..patience {
        thread::yield_now();
    }
    drop(ticket);
}

#[test]
fn whoever_waits_is_called_when_a_slot_becomes_free() {
    in_every_order(|| {
        let scene = Scene::new(1, 1, 1000);
        let held = scene.ask(0, LOCAL).unwrap();
        let freed = thread::spawn(move || drop(held));
        // It hangs here if it is not called.
        drop(enter(&scene, 1));
        freed.join().unwrap();
        scene.check_empty();
    });
}

#[test]
fn who_leaves_the_line_takes_nobodys_slot_along() {
    in_every_order(|| {
        let scene = Scene::new(1, 1, 1000);
        let held = scene.ask(0, LOCAL).unwrap();
        let leaves = scene.line_up(0, 9).unwrap();
        let waits = scene.line_up(1, 9).unwrap();
        let gone = thread::spawn(move || drop(leaves));
        let freed = thread::spawn(move || drop(held));
        let taken = scene.wait(&waits);
        scene.serve(1, taken, End::Settled(7));
        gone.join().unwrap();
        freed.join().unwrap();
        drop(waits);
        scene.check_empty();
    });
}

#[test]
fn who_cannot_be_let_in_yet_holds_nobody_else_up() {
    in_every_order(|| {
        let scene = Scene::new(2, 1, 1000);
        let stays = scene.ask(0, LOCAL).unwrap();
        let goes = scene.ask(1, LOCAL).unwrap();
        let first = scene.line_up(0, 9).unwrap();
        let freed = thread::spawn(move || drop(goes));
        // It hangs here if only the first in line is thought of.
        drop(enter(&scene, 1));
        freed.join().unwrap();
        drop((stays, first));
        scene.check_empty();
    });
}

#[test]
fn all_are_served_in_the_end_whoever_else_leaves() {
    in_many_orders(20_000, || {
        let scene = Scene::new(2, 1, 1000);
        let waits = |key: usize| {
            move |scene: &Scene| {
                for end in [End::Settled(thread_rng().gen_range(0..30)), End::Failed] {
                    scene.serve(key, enter(scene, key), end);
                }
            }
        };
        let leaves = |key: usize| {
            move |scene: &Scene| {
                for _ in 0..2 {
                    leave(scene, key, thread_rng().gen_range(0..6));
                }
            }
        };
        together(
            &scene,
            vec![Box::new(waits(0)), Box::new(waits(0)), Box::new(waits(1)), Box::new(leaves(1))],
        );
        assert_eq!(scene.settled(), 3);
    });
}

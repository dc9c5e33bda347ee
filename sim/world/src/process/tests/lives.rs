//! Lives of processes.

use super::*;
use env::{exec, process};
use std::sync::atomic::Ordering::Relaxed;

#[test]
fn a_service_starts_at_each_boot_and_again_when_it_ends() {
    run(1, |world| async move {
        world.add_program("brief", |_| async {
            pause(100).await;
            ExitCode(4)
        });
        let restart_after = Some(Span::secs(1));
        let service = Service { program: "brief".into(), args: vec![], restart_after };
        world.add_service(BRAVO, service);
        pause(3_000).await;
        assert!(world.take_ended().is_empty(), "it started before a boot");
        world.reset(BRAVO);
        pause(15_000).await;
        let ended = world.take_ended();
        assert!((5..=10).contains(&ended.len()), "{} lives in 6 to 10 s", ended.len());
        assert!(ended.iter().all(|e| e.status == exec::ExitStatus::Code(4) && e.host == "bravo"));
        world.power_off(BRAVO);
        pause(5_000).await;
        assert!(world.take_ended().len() <= 1, "it lived on without power");
    });
}

#[test]
fn a_frozen_process_stands_still_and_may_be_killed() {
    run(2, |world| async move {
        let count = add_counter(&world);
        let pid = started(&world, ALPHA, "counter");
        pause(1_000).await;
        world.freeze_process(pid);
        let at_freeze = count.load(Relaxed);
        assert!((90..=101).contains(&at_freeze), "{at_freeze}");
        pause(1_000).await;
        assert_eq!(count.load(Relaxed), at_freeze);
        world.thaw_process(pid);
        pause(500).await;
        let after = count.load(Relaxed) - at_freeze;
        assert!((48..=52).contains(&after), "a burst or a standstill: {after}");
        world.freeze_process(pid);
        world.kill(pid);
        pause(100).await;
        assert!(!world.lives(pid));
        assert_eq!(world.held(), (0, 0));
    });
}

#[test]
fn a_frozen_host_freezes_all_but_keeps_what_was_frozen_before() {
    run(3, |world| async move {
        let count = add_counter(&world);
        let (a, b) = (started(&world, ALPHA, "counter"), started(&world, ALPHA, "counter"));
        pause(100).await;
        world.freeze_process(a);
        world.freeze(ALPHA, world.now() + Span::secs(1));
        // Started on a frozen host, it waits as well.
        let c = started(&world, ALPHA, "counter");
        let before = count.load(Relaxed);
        pause(990).await;
        assert_eq!(count.load(Relaxed), before);
        pause(1_010).await;
        let gained = count.load(Relaxed) - before;
        assert!((195..=205).contains(&gained), "two of three went on: {gained}");
        [a, b, c].into_iter().for_each(|pid| world.kill(pid));
    });
}

/// The parent's death is not its children's, but their pipes lead nowhere.
#[test]
fn an_orphan_lives_on_with_a_broken_pipe() {
    run(4, |world| async move {
        world.add_program("parent", |_| async {
            let mut child = exec::Command::new("child").start().await.unwrap();
            child.wait().await.unwrap();
            ExitCode::SUCCESS
        });
        world.add_program("child", |_| async {
            pause(1_000).await;
            match process::print("anybody?").await {
                Err(e) if e.kind() == std::io::ErrorKind::BrokenPipe => ExitCode(32),
                _ => ExitCode::SUCCESS,
            }
        });
        let parent = started(&world, ALPHA, "parent");
        pause(500).await;
        assert_eq!(world.processes(ALPHA).len(), 2);
        world.kill(parent);
        assert_eq!(world.processes(ALPHA).len(), 1);
        pause(1_000).await;
        let last = world.take_ended().pop().unwrap();
        assert_eq!((last.program.as_str(), last.status), ("child", exec::ExitStatus::Code(32)));
        assert_eq!(world.held(), (0, 0));
    });
}

#[test]
fn a_panic_is_recorded_and_ends_its_process_alone() {
    env::hooks::catch_panics();
    run(5, |world| async move {
        let count = add_counter(&world);
        let other = started(&world, ALPHA, "counter");
        world.add_program("clumsy", |_| async {
            pause(200).await;
            env::task::spawn(async { panic!("fell over {}", "its feet") }).detach();
            std::future::pending().await
        });
        let pid = started(&world, BRAVO, "clumsy");
        pause(1_000).await;
        let panics = world.panics();
        assert_eq!(panics.len(), 1);
        let panic = &panics[0];
        assert_eq!((panic.host.as_str(), panic.program.as_str()), ("bravo", "clumsy"));
        assert_eq!((panic.pid, panic.message.as_str()), (pid, "fell over its feet"));
        assert!(panic.place.as_ref().unwrap().location.contains("lives.rs"));
        assert!(!world.lives(pid) && world.lives(other));
        let before = count.load(Relaxed);
        pause(100).await;
        assert!(count.load(Relaxed) > before);
        world.kill(other);
    });
}

/// Thousands of short processes and tasks leave nothing behind in the tables.
#[test]
fn the_dead_leave_nothing_behind() {
    run(6, |world| async move {
        world.add_program("parent", |_| async {
            for _ in 0..200 {
                let out = exec::Command::new("child").output(Duration::from_secs(5)).await;
                assert_eq!(out.unwrap().stdout, b"hello");
            }
            ExitCode::SUCCESS
        });
        world.add_program("child", |_| async {
            let udp = env::net::UdpSocket::bind(addr(ALPHA, 0)).await.unwrap();
            process::print("hello").await.unwrap();
            let leaked = env::task::spawn(async move { udp.recv_from(&mut [0]).await });
            leaked.detach();
            ExitCode::SUCCESS
        });
        let parents: Vec<_> = (0..5).map(|_| started(&world, ALPHA, "parent")).collect();
        while parents.iter().any(|pid| world.lives(*pid)) {
            pause(100).await;
        }
        assert_eq!(world.take_ended().len(), 1_005);
        assert_eq!(world.held(), (0, 0));
        assert_eq!(world.panics().len(), 0);
    });
}

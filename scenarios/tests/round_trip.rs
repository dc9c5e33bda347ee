//! Whatever is drawn can be written and read again: a kept plan is the plan that failed.

use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use scenarios::*;
use std::collections::BTreeMap;

const HOSTS: [&str; 3] = ["alpha", "bravo", "charlie"];

fn ordered(max: u64) -> impl Strategy<Value = (u64, u64)> {
    (0..=max, 0..=max).prop_map(|(a, b)| (a.min(b), a.max(b)))
}

fn host() -> impl Strategy<Value = String> {
    (0..3usize).prop_map(|i| HOSTS[i].to_owned())
}

fn name() -> impl Strategy<Value = Option<String>> {
    option::of(Just("storage".to_owned()))
}

fn network() -> impl Strategy<Value = Network> {
    let share = 0..=PPM_ONE;
    (ordered(SERVICE_MAX), BANDWIDTH.0..=BANDWIDTH.1, share.clone(), share.clone(), share).prop_map(
        |(latency, bandwidth, loss, duplicate, reorder)| Network {
            latency,
            bandwidth,
            loss,
            duplicate,
            reorder,
        },
    )
}

fn action() -> impl Strategy<Value = Do> {
    let storage = || "storage".to_owned();
    let volume = || "vol-a".to_owned();
    let copy = || prop_oneof![Just("alpha".to_owned()), Just("bravo".to_owned())];
    let on_hosts = prop_oneof![
        host().prop_map(|host| Do::PowerOff { host }),
        host().prop_map(|host| Do::Boot { host }),
        host().prop_map(|host| Do::Crash { host }),
        (host(), any::<bool>())
            .prop_map(|(host, network_first)| Do::Shutdown { host, network_first }),
        (host(), "drbdadm [ -~]{1,20}", option::of(any::<u8>())).prop_map(|(on, command, code)| {
            Do::Run { on, command, exit: code.map_or(Exit::Any, Exit::Code) }
        }),
        host().prop_map(|host| Do::Freeze { host }),
        host().prop_map(|host| Do::Thaw { host }),
        host().prop_map(|host| Do::DiskLies { host }),
        host().prop_map(|host| Do::DiskHonest { host }),
    ];
    let span = -(CLOCK_OFFSET_MAX as i64)..=CLOCK_OFFSET_MAX as i64;
    let on_disks = prop_oneof![
        (copy(), any::<bool>()).prop_map(move |(host, read)| Do::DiskError {
            host,
            resource: volume(),
            read,
            write: true
        }),
        copy().prop_map(move |host| Do::DiskRepair { host, resource: volume() }),
        (host(), 0..HORIZON_MAX).prop_map(|(host, lasts)| Do::DiskStall { host, lasts }),
        (copy(), 1..=ROT_MAX).prop_map(move |(host, blocks)| Do::BitRot {
            host,
            resource: volume(),
            blocks
        }),
        (host(), span).prop_map(|(host, by)| Do::ClockStep { host, by }),
        (host(), 0..=PPM_ONE, any::<bool>(), 0..HORIZON_MAX).prop_map(
            |(host, share, flush, lasts)| Do::FillConntrack { host, share, flush, lasts }
        ),
    ];
    let (from, to) = ("alpha".to_owned(), "charlie".to_owned());
    let (from2, to2) = (from.clone(), to.clone());
    let on_network = prop_oneof![
        (name(), any::<bool>()).prop_map(move |(network, both)| Do::Cut {
            from: from.clone(),
            to: to.clone(),
            network,
            both
        }),
        (name(), any::<bool>()).prop_map(move |(network, both)| Do::Mend {
            from: from2.clone(),
            to: to2.clone(),
            network,
            both
        }),
        (host(), name()).prop_map(|(host, network)| Do::Isolate { host, network }),
        (host(), name()).prop_map(|(host, network)| Do::Rejoin { host, network }),
        Just(Do::SwitchOff { network: storage() }),
        Just(Do::SwitchOn { network: storage() }),
        (0..=PPM_ONE).prop_map(move |ppm| Do::Loss { network: storage(), ppm }),
        ordered(SERVICE_MAX).prop_map(move |latency| Do::Latency { network: storage(), latency }),
    ];
    prop_oneof![
        on_hosts,
        on_disks,
        on_network,
        option::of(host()).prop_map(|to| Do::MoveVm { vm: "vm-a".to_owned(), to }),
        Just(Do::HealAll),
    ]
}

fn io() -> impl Strategy<Value = Io> {
    let weight = 0..=WEIGHT_MAX;
    let blocks = (1..=256u64, 1..=256u64).prop_map(|(a, b)| (a.min(b) * BLOCK, a.max(b) * BLOCK));
    (weight.clone(), weight.clone(), 1..=WEIGHT_MAX, weight, blocks, 1..=DEPTH_MAX, 0..=RATE_MAX)
        .prop_map(|(read, write, flush, discard, block, depth, rate)| Io {
            read,
            write,
            flush,
            discard,
            block,
            depth,
            rate,
            span: block.1 * 2,
        })
}

fn resource() -> impl Strategy<Value = Resource> {
    (1_024u64..1 << 20, 1..=4u16, any::<bool>(), any::<bool>()).prop_map(
        |(blocks, volumes, tie, options)| Resource {
            name: "vol-a".to_owned(),
            size: blocks * BLOCK,
            volumes,
            diskful: vec!["alpha".to_owned(), "bravo".to_owned()],
            tiebreaker: tie.then(|| "charlie".to_owned()),
            storage: if options { Storage::Thin } else { Storage::Disk },
            diskless: if tie { Vec::new() } else { vec!["charlie".to_owned()] },
            options: if options {
                [("quorum", "majority"), ("ping-int", "5")]
                    .map(|(key, value)| (key.to_owned(), value.to_owned()))
                    .into()
            } else {
                BTreeMap::new()
            },
        },
    )
}

fn disk() -> impl Strategy<Value = Disk> {
    let span = || ordered(SERVICE_MAX);
    (span(), span(), span(), 1..=PARALLEL_MAX, any::<bool>()).prop_map(
        |(read, write, flush, parallel, volatile_cache)| Disk {
            read,
            write,
            flush,
            parallel,
            volatile_cache,
            thin_pool: u64::from(parallel) * POOL_EXTENT,
        },
    )
}

fn pool() -> impl Strategy<Value = Pool> {
    (ordered(BOOT_MAX), 0..CLOCK_OFFSET_MAX, 0..=CLOCK_DRIFT_MAX, option::of(host()), any::<bool>())
        .prop_map(|(boot_time, clock_offset, clock_drift_ppm, master, ha)| Pool {
            master,
            ha,
            hosts: HOSTS.map(str::to_owned).to_vec(),
            boot_time,
            clock_offset,
            clock_drift_ppm,
            conntrack_max: Some(clock_drift_ppm + 1),
            drbd_notrack: ha,
        })
}

fn place() -> impl Strategy<Value = Place> {
    host().prop_map(|host| Place { resource: "vol-a".to_owned(), host })
}

fn words(all: &'static [&'static str]) -> impl Strategy<Value = Vec<String>> {
    vec(proptest::sample::select(all), 1..3)
        .prop_map(|words| words.into_iter().map(str::to_owned).collect())
}

/// A place and another host.
fn pair() -> impl Strategy<Value = (Place, String)> {
    (0..3usize, 1..3usize).prop_map(|(a, step)| {
        let place = Place { resource: "vol-a".to_owned(), host: HOSTS[a].to_owned() };
        (place, HOSTS[(a + step) % 3].to_owned())
    })
}

fn fact() -> impl Strategy<Value = Fact> {
    let vm = || "vm-a".to_owned();
    prop_oneof![
        (place(), words(&DISK_STATES)).prop_map(|(at, is)| Fact::Disk { at, is }),
        (place(), words(&ROLES)).prop_map(|(at, is)| Fact::Role { at, is }),
        (place(), any::<bool>()).prop_map(|(at, yes)| Fact::Quorum { at, yes }),
        (place(), any::<bool>()).prop_map(|(at, yes)| Fact::Suspended { at, yes }),
        (pair(), words(&CONNECTION_STATES)).prop_map(|((at, peer), is)| Fact::Connection {
            at,
            peer,
            is
        }),
        (pair(), words(&REPLICATION_STATES)).prop_map(|((at, peer), is)| Fact::Replication {
            at,
            peer,
            is
        }),
        (pair(), words(&DISK_STATES)).prop_map(|((at, peer), is)| Fact::PeerDisk { at, peer, is }),
        (pair(), any::<u32>()).prop_map(|((at, peer), most)| Fact::OutOfSync {
            at,
            peer,
            most: most.into()
        }),
        (host(), words(&POWER)).prop_map(|(host, is)| Fact::Power { host, is }),
        any::<u32>().prop_map(move |least| Fact::AckedWrites { vm: vm(), least: least.into() }),
        any::<bool>().prop_map(move |yes| Fact::Running { vm: vm(), yes }),
        host().prop_map(move |host| Fact::On { vm: vm(), host }),
        (0..HORIZON_MAX).prop_map(move |within| Fact::Progress { vm: vm(), within }),
        any::<u32>().prop_map(move |most| Fact::Errors { vm: vm(), most: most.into() }),
        (proptest::sample::select(Event::ALL), option::of(host()), 1..9u32).prop_map(
            |(event, host, nth)| {
                let peer = host.as_ref().map(|_| "bravo".to_owned());
                Fact::Event { event, resource: Some("vol-a".to_owned()), host, peer, nth }
            }
        ),
    ]
}

fn condition() -> impl Strategy<Value = Condition> {
    vec(fact(), 1..6).prop_map(Condition::new)
}

fn expectation() -> impl Strategy<Value = Expect> {
    let asked =
        (host(), "drbdsetup [ -~]{1,20}", option::of(any::<u8>()), option::of("\\PC{0,20}"))
            .prop_map(|(on, run, exit, stdout)| {
                Condition::new(vec![Fact::Command { on, run, exit, stdout, stderr: None }])
            });
    // An event is a moment: nothing that is always so.
    let lasting = fact().prop_filter("an event", |fact| !matches!(fact, Fact::Event { .. }));
    prop_oneof![
        (0..HORIZON_MAX, prop_oneof![condition(), asked])
            .prop_map(|(within, that)| (Expectation::Within(within), that)),
        vec(lasting, 1..6).prop_map(|facts| (Expectation::Always, Condition::new(facts))),
        condition().prop_map(|that| (Expectation::Never, that)),
    ]
    .prop_map(|(kind, that)| Expect { id: None, kind, that, after: None, until: None })
}

fn replay() -> impl Strategy<Value = Replay> {
    (any::<u64>(), 0..100u64, any::<bool>(), option::of("[0-9a-f]{7}")).prop_map(
        |(large, small, is_large, commit)| Replay {
            seed: if is_large { large } else { small },
            quirk: commit.as_ref().map(|_| "equal-uuids-drop-bits".to_owned()),
            commit,
            breaks: "one-primary".to_owned(),
        },
    )
}

prop_compose! {
    fn scenario()(
        pool in pool(),
        storage in network(),
        disk in disk(),
        resource in resource(),
        io in io(),
        on in host(),
        second in any::<bool>(),
        actions in vec((0..HORIZON_MAX, action()), 0..20),
        origin in vec("\\PC{0,40}", 0..3),
        heals in any::<bool>(),
        whens in vec((any::<bool>(), option::of(condition())), 1..4),
        expects in vec(expectation(), 0..4),
        replay in option::of(replay()),
    ) -> Scenario {
        let vdi = if second && resource.volumes > 1 { "vol-a/1" } else { "vol-a" };
        let boots = Vary::Range("5s".to_owned(), "9s".to_owned());
        let breaks = "one-primary".to_owned();
        let known = Known { version: Some("drbd 9.3.3".to_owned()), quirk: None, breaks };
        let step = actions.into_iter().enumerate().map(|(i, (at, action))| {
            let id = (i % 2 == 0).then(|| format!("step-{i}"));
            // Every other step may wait for the one before it, and for something to be seen.
            let (after, that) = match (i, &whens[i % whens.len()]) {
                (0, _) | (_, (false, None)) => (None, None),
                (i, (waits, that)) => {
                    let before = (*waits).then(|| format!("step-{}", (i - 1) / 2 * 2));
                    (before, that.clone())
                }
            };
            Step { id, when: When { after, that, wait: at }, action, optional: i % 3 == 0 }
        });
        Scenario {
            name: "drawn".to_owned(),
            promise: vec!["one-primary".to_owned()],
            origin,
            horizon: HORIZON_MAX,
            pool,
            network: [("storage".to_owned(), storage)].into(),
            disk,
            vm: vec![Vm { name: "vm-a".to_owned(), on, vdi: vdi.to_owned(), io }],
            resource: vec![resource],
            step: step.collect(),
            expect: expects,
            vary: [("pool.boot-time".to_owned(), boots)].into(),
            known: [("lab".to_owned(), known)].into(),
            replay,
            worlds: vec!["sim".to_owned(), "lab".to_owned()],
            requires: vec!["drbd".to_owned()],
            heals,
        }
    }
}

proptest! {
    #[test]
    fn a_scenario_survives_being_written(scenario in scenario()) {
        validate(&scenario).map_err(|invalid| TestCaseError::fail(invalid.to_string()))?;
        let text = write(&scenario);
        match read("drawn.toml", &text) {
            Ok(again) => prop_assert_eq!(again, scenario),
            Err(error) => prop_assert!(false, "{error}\n{text}"),
        }
    }

    #[test]
    fn a_comment_says_nothing_to_the_reader(
        scenario in scenario(),
        comment in "(\\PC|[\n\r\t\x00\x7f]){0,80}",
    ) {
        let text = write_with_comment(&scenario, &comment);
        match read("drawn.toml", &text) {
            Ok(again) => prop_assert_eq!(again, scenario),
            Err(error) => prop_assert!(false, "{error}\n{text}"),
        }
    }

    #[test]
    fn any_text_is_refused_or_read(text in "\\PC{0,200}") {
        let _ = read("any.toml", &text);
    }

    /// Closer to the format than any text: a good file with a piece cut out and another put in.
    #[test]
    fn a_damaged_file_is_refused_or_read(
        file in 0..BUILTIN.len(),
        from in 0..4_000usize,
        len in 0..80usize,
        junk in "[-a-z0-9\"\\[\\]{}=.\n]{0,12}",
    ) {
        let chars: Vec<char> = BUILTIN[file].text.chars().collect();
        let from = from.min(chars.len());
        let to = (from + len).min(chars.len());
        let mut text: String = chars[..from].iter().collect();
        text.push_str(&junk);
        text.extend(&chars[to..]);
        if let Ok(scenario) = read("damaged.toml", &text) {
            prop_assert_eq!(read("again.toml", &write(&scenario)), Ok(scenario));
        }
    }
}

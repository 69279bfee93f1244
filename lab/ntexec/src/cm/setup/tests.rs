use super::*;
use alloc::vec;
use lab_protocol::plan::Plan;

const GUID: &str = "{4d36e97d-e325-11ce-bfc1-08002be10318}";

fn service(name: &str, start_type: u32, group: Option<&str>, function_driver: bool) -> Service {
    Service {
        name: name.into(),
        function_driver,
        service_type: 1,
        start_type,
        error_control: 1,
        binary: format!("{name}.sys"),
        load_order_group: group.map(String::from),
        boot_flags: None,
        registry: vec![InfChange {
            root: Root::Relative,
            subkey: "Parameters".into(),
            name: "Level".into(),
            action: Action::Set(Data::Dword(1)),
        }],
    }
}

fn model(ids: &[&str], install: Install) -> Model {
    Model {
        description: "Sample device".into(),
        ids: ids.iter().map(|s| String::from(*s)).collect(),
        install,
    }
}

fn package(models: Vec<Model>) -> Package {
    Package {
        inf: "sample.inf".into(),
        class: "System".into(),
        class_guid: GUID.into(),
        provider: "Someone".into(),
        driver_version: "01/02/2026,1.2.3.4".into(),
        models,
        images: vec![],
    }
}

fn bundle(packages: Vec<Package>) -> Bundle {
    Bundle {
        packages,
        registry: vec![],
        nics: vec![],
        plan: Plan::default(),
        first_step: 0,
        boots_before: 0,
        system_time: 0,
    }
}

fn install() -> Install {
    Install {
        services: vec![
            service("late", 0, Some("SCSI Miniport"), true),
            service("early", 0, Some("Boot Bus Extender"), false),
        ],
        hardware: vec![
            InfChange {
                root: Root::Relative,
                subkey: String::new(),
                name: "UpperFilters".into(),
                action: Action::Set(Data::MultiSz(vec!["early".into()])),
            },
            InfChange {
                root: Root::Relative,
                subkey: "Interrupt Management\\Policy".into(),
                name: String::new(),
                action: Action::Set(Data::Dword(1)),
            },
        ],
        ..Install::default()
    }
}

#[test]
fn services_get_their_keys_and_start_by_group() {
    let mut b = bundle(vec![package(vec![model(&["BUS\\A"], install())])]);
    b.packages[0].models[0]
        .install
        .services
        .push(service("demand", 3, None, false));
    let h = registry(&b);
    assert_eq!(h.dword(&format!("{SERVICES}\\late"), "Start"), Some(0));
    assert_eq!(
        h.dword(&format!("{SERVICES}\\late\\Parameters"), "Level"),
        Some(1)
    );
    let order: Vec<String> = start_order(&h).into_iter().map(|s| s.name).collect();
    assert_eq!(order, ["early", "late"]);
}

#[test]
fn what_boots_before_left_wins_over_what_the_packages_write() {
    let mut b = bundle(vec![package(vec![model(&["BUS\\A"], install())])]);
    let key = format!("{SERVICES}\\late\\Parameters");
    b.registry = vec![
        set(&key, "Level", Data::Dword(7)),
        Change::DeleteValue {
            key: key.clone(),
            name: "level".into(),
        },
    ];
    assert_eq!(registry(&b).dword(&key, "Level"), None);
}

#[test]
fn a_bound_device_has_service_filters_and_parameters() {
    let b = bundle(vec![package(vec![model(&["BUS\\A"], install())])]);
    let mut h = registry(&b);
    for c in device(
        &h,
        "BUS\\A\\0",
        &b.packages[0],
        &b.packages[0].models[0],
        "BUS\\A",
    ) {
        h.apply(&c, 1).unwrap();
    }
    let key = format!("{ENUM}\\BUS\\A\\0");
    assert_eq!(h.string(&key, "Service").as_deref(), Some("late"));
    assert_eq!(h.strings(&key, "UpperFilters"), ["early"]);
    assert_eq!(h.string(&key, "Driver"), Some(format!("{GUID}\\0000")));
    assert_eq!(
        h.dword(
            &format!("{key}\\Device Parameters\\Interrupt Management\\Policy"),
            ""
        ),
        Some(1)
    );
    let again = device(
        &h,
        "BUS\\A\\1",
        &b.packages[0],
        &b.packages[0].models[0],
        "BUS\\A",
    );
    assert!(again.contains(&set(
        &format!("{ENUM}\\BUS\\A\\1"),
        "Driver",
        Data::Sz(format!("{GUID}\\0001"))
    )));
}

#[test]
fn the_most_specific_id_of_the_device_decides() {
    let packages = [
        package(vec![model(&["BUS\\GENERIC"], install())]),
        package(vec![model(&["BUS\\A&REV_1", "BUS\\A"], install())]),
    ];
    let hw = |ids: &[&str]| ids.iter().map(|s| String::from(*s)).collect::<Vec<_>>();
    let found = |h: &[&str], c: &[&str]| {
        find(&packages, &hw(h), &hw(c)).map(|(p, _, id)| (core::ptr::eq(p, &packages[1]), id))
    };
    assert_eq!(
        found(&["bus\\a&rev_1", "BUS\\A"], &["BUS\\GENERIC"]),
        Some((true, "BUS\\A&REV_1".into()))
    );
    assert_eq!(
        found(&["BUS\\A&REV_2"], &["BUS\\GENERIC"]),
        Some((false, "BUS\\GENERIC".into()))
    );
    assert_eq!(found(&["BUS\\B"], &[]), None);
}

#[test]
fn a_network_adapter_gets_a_guid_of_its_own_and_keeps_it() {
    let (one, other) = (interface_guid("BUS\\A\\0"), interface_guid("BUS\\A\\1"));
    assert_ne!(one, other);
    assert_eq!(one, interface_guid("bus\\a\\0"));
    assert_eq!(one.len(), 38);
    assert!(one.starts_with('{') && one.ends_with('}') && one.as_bytes()[15] == b'8');
}

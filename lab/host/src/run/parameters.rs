//! `net-parameters`: advanced properties of network adapters, as a user would set them after the INF has.

use lab_protocol::bundle::Action;
use lab_protocol::bundle::InfChange;
use lab_protocol::bundle::Package;
use lab_protocol::bundle::Root;
use lab_protocol::registry::Data;
use std::collections::BTreeMap;

/// GUID_DEVCLASS_NET
const NET: &str = "{4d36e972-e325-11ce-bfc1-08002be10318}";

/// The packages; those of class Net write the parameters to the software keys of their devices, over what their INFs say.
pub fn with(packages: &[Package], parameters: &BTreeMap<String, String>) -> Vec<Package> {
    let mut packages = packages.to_vec();
    let net = packages
        .iter_mut()
        .filter(|package| package.class_guid.eq_ignore_ascii_case(NET));
    for model in net.flat_map(|package| &mut package.models) {
        for (name, value) in parameters {
            model.install.software.push(InfChange {
                root: Root::Relative,
                subkey: String::new(),
                name: name.clone(),
                action: Action::Set(Data::Sz(value.clone())),
            });
        }
    }
    packages
}

#[cfg(test)]
mod tests {
    use super::*;
    use lab_protocol::bundle::Install;
    use lab_protocol::bundle::Model;

    fn package(class_guid: &str) -> Package {
        Package {
            inf: "a.inf".into(),
            class: String::new(),
            class_guid: class_guid.into(),
            provider: String::new(),
            driver_version: String::new(),
            models: vec![Model {
                description: String::new(),
                ids: Vec::new(),
                install: Install::default(),
            }],
            images: Vec::new(),
        }
    }

    #[test]
    fn only_network_adapters_get_them() {
        let parameters = BTreeMap::from([("*RSS".to_owned(), "1".to_owned())]);
        let disk = "{4d36e97b-e325-11ce-bfc1-08002be10318}";
        let net = NET.to_uppercase();
        let packages = with(&[package(disk), package(&net)], &parameters);
        assert!(packages[0].models[0].install.software.is_empty());
        let [change] = packages[1].models[0].install.software.as_slice() else {
            panic!("one change");
        };
        assert_eq!(change.name, "*RSS");
        assert_eq!(change.action, Action::Set(Data::Sz("1".into())));
    }
}

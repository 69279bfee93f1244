//! Who a disk is: its serial number and identification page.

use core::fmt;

use scsi_disk::Identity;
use xen_blkfront::{base64, identity};
use xenbus_client::store::Store;

/// What the Xen Project's driver reports, which names the device in Windows.
const VENDOR: [u8; 8] = *b"XENSRC  ";
const PRODUCT: [u8; 16] = *b"PVDISK          ";
const REVISION: [u8; 4] = *b"2.0 ";

/// The identity of device `vdev` with this backend. PASSIVE_LEVEL.
pub fn identity(store: Store<'_>, backend: &str, vdev: u32) -> Identity {
    let mut identity = new(store, backend, vdev);
    for page in ["80", "83"] {
        let key = format_args!("{backend}/sm-data/scsi/0x12/0x{page}");
        if let Ok(text) = store.read(key) {
            let mut bytes = [0; scsi_disk::disk::PAGE_MAX];
            let taken = base64::decode(text.as_ref(), &mut bytes)
                .and_then(|length| bytes.get(..length))
                .is_some_and(|bytes| identity.override_page(bytes));
            if !taken {
                wdm::warn!("vbd {vdev}: the toolstack's page 0x{page} is not one; ours is used");
            }
        }
    }
    identity
}

/// From the virtual disk's own identifier, or else the machine's and the device's.
fn new(store: Store<'_>, backend: &str, vdev: u32) -> Identity {
    let sources: [(fmt::Arguments<'_>, u32); 2] = [
        (format_args!("{backend}/sm-data/vdi-uuid"), 0),
        (format_args!("vm"), vdev),
    ];
    for (key, number) in sources {
        if let Ok(name) = store.read(key)
            && !name.as_ref().is_empty()
        {
            let serial = identity::serial(name.as_ref(), number);
            return Identity::new(VENDOR, PRODUCT, REVISION, &serial);
        }
    }
    wdm::warn!(
        "vbd {vdev}: neither disk nor machine has an identifier; the serial number is unique within the machine only"
    );
    Identity::new(VENDOR, PRODUCT, REVISION, &identity::serial(b"", vdev))
}

//! Real Xen in QEMU: dom0, disks, plans.

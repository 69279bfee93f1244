//! Virtual device numbers (docs/man/xen-vbd-interface.7.pandoc in Xen's tree).

/// The IDE majors, in the order of their disks: hda is disk 0.
const IDE_MAJORS: [u32; 8] = [3, 22, 33, 34, 56, 57, 88, 89];

/// The number of the disk that a device number stands for, from 0; `None` where the number names no whole disk.
///
/// Numbers with bit 28 set carry the disk from bit 8 up; older ones are Linux device numbers of xvd, sd and hd.
pub fn disk_number(vdev: u32) -> Option<u32> {
    if vdev & 1 << 28 != 0 {
        return Some((vdev & 0xF_FFFF) >> 8);
    }
    match vdev >> 8 {
        202 | 8 => Some((vdev & 0xF0) >> 4),
        major => {
            let controller = IDE_MAJORS.iter().position(|ide| *ide == major)?;
            u32::try_from(controller)
                .ok()
                .map(|c| 2 * c + ((vdev & 0xC0) >> 6))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::disk_number;

    #[test]
    fn xvd_sd_and_hd_numbers_count_their_disks() {
        for (vdev, disk) in [
            (202 << 8, Some(0)),
            (202 << 8 | 16, Some(1)),
            (202 << 8 | 4 << 4, Some(4)),
            (202 << 8 | 15 << 4, Some(15)),
            (8 << 8 | 2 << 4, Some(2)),
            (3 << 8, Some(0)),
            (3 << 8 | 64, Some(1)),
            (22 << 8, Some(2)),
            (89 << 8 | 64, Some(15)),
            (1 << 28 | 16 << 8, Some(16)),
            (1 << 28 | 300 << 8, Some(300)),
            (1 << 8, None),
            (0, None),
            (!(1 << 28), None),
        ] {
            assert_eq!(disk_number(vdev), disk, "{vdev}");
        }
    }
}

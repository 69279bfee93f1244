//! scratch
use lab_host::*;
fn main() {
    let image = dom0::image().unwrap();
    let disks = disk::open_all(
        &std::env::args()
            .skip(2)
            .map(|a| a.parse().unwrap())
            .collect::<Vec<_>>(),
        true,
    )
    .unwrap();
    let folder = log::Folder::create(std::path::Path::new("/tmp/wB/lab"), "boot").unwrap();
    let t = std::time::Instant::now();
    let agent = std::env::args().nth(1).unwrap();
    let s = session::Session::boot(
        &session::Setup {
            image: &image,
            agent: agent.as_ref(),
            disks: &disks,
            guest_memory: 256,
        },
        folder,
    )
    .unwrap();
    println!("boot {:?} {:?}", t.elapsed(), s.device(0));
    let t = std::time::Instant::now();
    println!(
        "{}",
        s.shell("xl list; free -m; uname -a; ls /sys/block; mount | tail -3")
            .unwrap()
    );
    println!("shell {:?}", t.elapsed());
    println!("{}", s.debug_keys("e").unwrap());
    println!("{}", s.debug_keys("g").unwrap());
    println!("keys {:?}", t.elapsed());
    s.close().unwrap();
    println!("close {:?}", t.elapsed());
}

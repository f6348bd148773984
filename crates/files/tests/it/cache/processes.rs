//! Many processes on one cache, and processes that are killed.

use super::{
    NO_LIMIT, cache, content,
    folders::{folder_of_child, run_again},
    tree,
};
use callsheet_files::{Cache, Existing, copy_out};
use callsheet_types::{Digest, FilePath};
use std::{
    collections::HashSet,
    env, fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
};

const SEEDS: u64 = 40;
const ROUNDS: u64 = 60;
const PROCESSES: usize = 6;

/// What a process that a test starts is to do.
const ROLE: &str = "CALLSHEET_FILES_TEST_ROLE";

fn sample(seed: u64) -> Vec<u8> {
    // Some are longer than what is hashed in memory.
    content(if seed.is_multiple_of(10) { 1_100_000 } else { 2000 }, seed)
}

fn child(name: &str, folder: &Path, role: &str) -> Command {
    let mut command = run_again(&env::current_exe().unwrap(), name, folder);
    command.env(ROLE, role);
    command
}

/// Puts, copies and cleans, each as if alone; what it gets is always whole.
fn work_alone(folder: &Path, number: u64, samples: &[Vec<u8>]) {
    let cache = Cache::open(&folder.join("cache"));
    let digests: Vec<_> = samples.iter().map(|bytes| Digest::of(bytes)).collect();
    let mut random = fastrand::Rng::with_seed(number);
    for round in 0..ROUNDS {
        let some: Vec<_> = (0..5).map(|_| random.usize(..samples.len())).collect();
        match random.u8(..4) {
            0 => {
                let keep: HashSet<_> = digests.iter().filter(|_| random.bool()).copied().collect();
                cache.gc(&keep, false).unwrap();
            }
            1 => {
                let mut batch = cache.batch();
                for number in &some {
                    let expected = Some(digests[*number]);
                    batch.put(&mut &*samples[*number], expected, NO_LIMIT).unwrap();
                }
                batch.commit().unwrap();
            }
            2 => {
                for number in &some {
                    cache.put(&mut &*samples[*number], None, NO_LIMIT).unwrap();
                }
            }
            _ => {
                for at in &some {
                    let to = folder.join(format!("copy-{number}-{round}-{at}"));
                    if cache.copy_to(&digests[*at], &to).unwrap() {
                        assert!(fs::read(&to).unwrap() == samples[*at]);
                        fs::remove_file(&to).unwrap();
                    }
                    assert!(!to.exists());
                    if let Some(read) = cache.read(&digests[*at]).unwrap() {
                        assert!(read == samples[*at]);
                    }
                }
            }
        }
    }
}

#[test]
fn processes_and_threads_do_not_disturb_each_other() {
    let samples: Vec<_> = (0..SEEDS).map(sample).collect();
    if let Some(folder) = folder_of_child() {
        let number = env::var(ROLE).unwrap().parse::<u64>().unwrap();
        thread::scope(|scope| {
            scope.spawn(|| work_alone(&folder, number * 2, &samples));
            work_alone(&folder, number * 2 + 1, &samples);
        });
        return;
    }
    let (folder, cache) = cache();
    let name = "cache::processes::processes_and_threads_do_not_disturb_each_other";
    let start = |number: usize| child(name, folder.path(), &number.to_string()).spawn().unwrap();
    for mut process in (0..PROCESSES).map(start).collect::<Vec<_>>() {
        assert!(process.wait().unwrap().success());
    }
    assert_eq!(cache.verify(false, &|_, _| ()).unwrap().1, []);
    assert_eq!(tree(&cache.root().join("tmp")), [""; 0]);
}

#[test]
fn copies_into_one_workspace_at_once_all_succeed() {
    let files = |cache: &Cache| -> Vec<_> {
        let file = |seed| {
            let digest = super::put(cache, &content(3000, seed));
            (FilePath::new(&format!("d{}/{seed}.txt", seed % 5)).unwrap(), digest)
        };
        (0..30).map(file).collect()
    };
    if let Some(folder) = folder_of_child() {
        let cache = Cache::open(&folder.join("cache"));
        let files = files(&cache);
        for number in 0..20 {
            let work = folder.join(format!("work-{number}/deep"));
            let placed = copy_out(&cache, &files, &work, Existing::Refuse).unwrap();
            assert_eq!(placed.written + placed.unchanged, 30);
            for (path, digest) in &files {
                assert_eq!(Digest::of(&fs::read(work.join(path)).unwrap()), *digest);
            }
        }
        return;
    }
    let (folder, cache) = cache();
    files(&cache);
    let name = "cache::processes::copies_into_one_workspace_at_once_all_succeed";
    let start = |_| child(name, folder.path(), "").spawn().unwrap();
    for mut process in (0..PROCESSES).map(start).collect::<Vec<_>>() {
        assert!(process.wait().unwrap().success());
    }
    for number in 0..20 {
        let all = tree(&folder.path().join(format!("work-{number}")));
        assert_eq!(all.len(), 1 + 5 + 30, "no hidden folder stays: {all:?}");
    }
}

/// Puts and copies without end, and says so after each step.
fn work_until_killed(folder: &Path, round: &str) {
    let cache = Cache::open(&folder.join("cache"));
    let mut say = std::io::stdout();
    for step in 0_u64.. {
        let seed = step % SEEDS;
        let mut batch = cache.batch();
        let mut files = Vec::new();
        for seed in seed..seed + 20 {
            let (digest, _) = batch.put(&mut &*sample(seed), None, NO_LIMIT).unwrap();
            files.push((FilePath::new(&format!("{}/{seed}", seed % 3)).unwrap(), digest));
            writeln!(say, "#").unwrap();
        }
        batch.commit().unwrap();
        writeln!(say, "#").unwrap();
        cache.put(&mut &*sample(seed + 30), None, NO_LIMIT).unwrap();
        writeln!(say, "#").unwrap();
        let work = folder.join(format!("work-{round}-{step}"));
        copy_out(&cache, &files, &work, Existing::Refuse).unwrap();
        writeln!(say, "#").unwrap();
        cache.gc(&HashSet::new(), false).unwrap();
        writeln!(say, "#").unwrap();
    }
}

#[test]
fn a_process_that_is_killed_leaves_no_wrong_file() {
    if let Some(folder) = folder_of_child() {
        return work_until_killed(&folder, &env::var(ROLE).unwrap());
    }
    let (folder, cache) = cache();
    let name = "cache::processes::a_process_that_is_killed_leaves_no_wrong_file";
    let mut random = fastrand::Rng::new();
    for round in 0..20 {
        let mut process =
            child(name, folder.path(), &round.to_string()).stdout(Stdio::piped()).spawn().unwrap();
        let said = BufReader::new(process.stdout.take().unwrap()).lines();
        let mut steps = said.map(Result::unwrap).filter(|line| line.ends_with('#'));
        assert!(steps.by_ref().take(random.usize(1..60)).count() > 0);
        // Somewhere between two steps.
        (0..random.u32(..20_000)).for_each(|_| std::hint::spin_loop());
        process.kill().unwrap();
        assert!(!process.wait().unwrap().success());

        let (_, damaged) = cache.verify(true, &|_, _| ()).unwrap();
        assert_eq!(damaged, []);
        for entry in fs::read_dir(folder.path()).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            if name.starts_with("work-") {
                let work = folder.path().join(&name);
                assert_eq!(tree(&work).len(), 3 + 20, "{name} is whole");
                fs::remove_dir_all(work).unwrap();
            } else {
                assert!(name == "cache" || name.starts_with(".callsheet-"), "{name}");
            }
        }
    }
    // What killed processes left does not hinder anybody.
    super::put(&cache, b"content");
    assert_eq!(cache.read(&Digest::of(b"content")).unwrap().unwrap(), b"content");
}

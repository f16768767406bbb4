//! `files`: what a component may read.
//!
//! A source stays below the manifest's folder: `..`, absolute paths and symbolic links that lead out of it are errors at
//! start, since a guest could read through them what nobody meant to show.

use std::collections::BTreeMap;
use std::path::{Component as Part, Path, PathBuf};

use globset::{Glob, GlobBuilder, GlobSet, GlobSetBuilder};
use walkdir::WalkDir;

use crate::diagnostics::{At, Report};
use crate::plan::FileMount;
use crate::raw::{Component, Files};

/// What makes a path a pattern.
const GLOB: [char; 4] = ['*', '?', '[', '{'];

/// One entry that is being resolved.
struct Entry<'a> {
    /// As it was written, for messages.
    written: &'a At<String>,
    kind: Kind,
    /// The folder of the manifest, without symbolic links.
    folder: &'a Path,
    /// Where it begins in the guest.
    destination: String,
    excluded: &'a GlobSet,
    /// Files and folders that it may lead to.
    entries_max: usize,
}

/// How an entry is written.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A path or a glob, found in the guest under the same path.
    Pattern,
    /// A path, with its place in the guest.
    Placed,
}

/// What becomes of symbolic links to folders, which are checked in any case.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Links {
    /// What they name is found under their path, too.
    Followed,
    /// A glob over much of the application is not to find the same files by many ways.
    Passed,
}

/// Why an entry cannot be used, and what to do.
type Refusal = (String, &'static str);

pub(super) fn mounts(component: &Component, folder: &Path, report: &Report) -> Vec<FileMount> {
    if component.files.is_empty() {
        return Vec::new();
    }
    let excluded = excluded(component, report);
    let entries_max = component.chassis.limits.files_entries as usize;
    let Ok(folder) = folder.canonicalize() else { return Vec::new() };
    let mut mounts: BTreeMap<String, FileMount> = BTreeMap::new();
    for files in &component.files {
        let (kind, written, destination) = match files {
            Files::Pattern(path) => (Kind::Pattern, path, Ok(format!("/{}", path.value.trim_start_matches("./")))),
            Files::Placed { source, destination } => (Kind::Placed, source, checked_destination(destination)),
        };
        let entry =
            |destination| Entry { written, kind, folder: &folder, destination, excluded: &excluded, entries_max };
        let found = destination.and_then(|destination| entry(destination).resolve());
        match found {
            Ok(found) => add(&mut mounts, found, written, report),
            Err((message, help)) => report.error(&written.place, message, help),
        }
    }
    mounts.into_values().collect()
}

fn add(mounts: &mut BTreeMap<String, FileMount>, found: Vec<FileMount>, written: &At<String>, report: &Report) {
    for mount in found {
        let other = mounts.get(&mount.destination).filter(|other| other.source != mount.source);
        if let Some(other) = other {
            let (first, second) = (other.source.display(), mount.source.display());
            let message = format!("{first} and {second} have the same place in the guest, {}", mount.destination);
            report.error(&written.place, message, "give each a `destination` of its own");
        }
        mounts.insert(mount.destination.clone(), mount);
    }
}

fn excluded(component: &Component, report: &Report) -> GlobSet {
    let mut set = GlobSetBuilder::new();
    for pattern in &component.exclude_files {
        match glob(&pattern.value) {
            Ok(glob) => {
                set.add(glob);
            }
            Err(error) => {
                report.error(&pattern.place, format!("«{}» is not a pattern: {}", pattern.value, error.kind()), "")
            }
        }
    }
    set.build().unwrap_or_default()
}

fn glob(pattern: &str) -> Result<Glob, globset::Error> {
    GlobBuilder::new(pattern.trim_start_matches("./")).literal_separator(true).build()
}

fn checked_destination(destination: &At<String>) -> Result<String, Refusal> {
    let path = Path::new(&destination.value);
    let plain = path.components().all(|part| matches!(part, Part::RootDir | Part::Normal(_)));
    if path.is_absolute() && plain {
        return Ok(destination.value.clone());
    }
    Err((format!("the destination «{}» is not an absolute path", destination.value), "write one such as /assets"))
}

impl Entry<'_> {
    fn resolve(&self) -> Result<Vec<FileMount>, Refusal> {
        let relative = Path::new(&self.written.value);
        if !relative.components().all(|part| matches!(part, Part::CurDir | Part::Normal(_))) {
            let message = format!("«{}» leads out of the manifest's folder", self.written.value);
            return Err((message, "write a path below it, without `..`"));
        }
        let path = self.folder.join(relative);
        if path.symlink_metadata().is_err() {
            if self.kind == Kind::Pattern && self.written.value.contains(GLOB) {
                return self.matching();
            }
            return Err((format!("«{}» does not exist", self.written.value), "correct the path, or remove the entry"));
        }
        self.check_within(&path, self.folder)?;
        if path.is_dir() {
            return self.folder_mounts(&path);
        }
        Ok(self.mount(&path, self.destination.clone())?.into_iter().collect())
    }

    /// A folder as a whole, or file by file where some of them are excluded.
    fn folder_mounts(&self, path: &Path) -> Result<Vec<FileMount>, Refusal> {
        let base = path.canonicalize().map_err(|error| self.unreadable(&error))?;
        let files = self.walk(&base, &base, Links::Followed)?;
        if self.excluded.is_empty() {
            return Ok(vec![FileMount { source: base, destination: trimmed(&self.destination) }]);
        }
        let mounts = files.into_iter().filter_map(|file| {
            let inner = file.strip_prefix(&base).ok()?.to_str()?.to_owned();
            self.mount(&file, format!("{}/{inner}", self.destination.trim_end_matches('/'))).transpose()
        });
        mounts.collect()
    }

    /// Every file that matches a glob, under its own path.
    fn matching(&self) -> Result<Vec<FileMount>, Refusal> {
        let pattern = glob(&self.written.value)
            .map_err(|error| (format!("«{}» is not a pattern: {}", self.written.value, error.kind()), ""))?;
        let matcher = pattern.compile_matcher();
        let fixed = Path::new(&self.written.value).components().filter(|part| *part != Part::CurDir);
        let fixed: PathBuf = fixed.take_while(|part| !part.as_os_str().to_string_lossy().contains(GLOB)).collect();
        let base = self.folder.join(fixed);
        if !base.is_dir() {
            return Err((format!("«{}» matches nothing: no such folder", self.written.value), "correct the pattern"));
        }
        self.check_within(&base, self.folder)?;
        let files = self.walk(&base, self.folder, Links::Passed)?;
        let mounts = files
            .into_iter()
            .filter(|file| file.strip_prefix(self.folder).is_ok_and(|inner| matcher.is_match(inner)))
            .filter_map(|file| {
                let inner = file.strip_prefix(self.folder).ok()?.to_str()?.to_owned();
                self.mount(&file, format!("/{inner}")).transpose()
            })
            .collect::<Result<Vec<FileMount>, Refusal>>()?;
        if mounts.is_empty() {
            return Err((
                format!("«{}» matches no file", self.written.value),
                "correct the pattern, or remove the entry",
            ));
        }
        Ok(mounts)
    }

    /// A file, unless it is excluded. Where it is a symbolic link, that was checked; what it names is mounted.
    fn mount(&self, path: &Path, destination: String) -> Result<Option<FileMount>, Refusal> {
        let inner = path.strip_prefix(self.folder).unwrap_or(path);
        if self.excluded.is_match(inner) {
            return Ok(None);
        }
        let source = path.canonicalize().map_err(|error| self.unreadable(&error))?;
        Ok(Some(FileMount { source, destination: trimmed(&destination) }))
    }

    /// Every file below a folder, in order.
    fn walk(&self, base: &Path, bounds: &Path, links: Links) -> Result<Vec<PathBuf>, Refusal> {
        let mut files = Vec::new();
        let walk = WalkDir::new(base).follow_links(links == Links::Followed).sort_by_file_name();
        for (count, found) in walk.into_iter().enumerate() {
            let found = found.map_err(|error| self.unwalkable(&error))?;
            if count >= self.entries_max {
                let message = format!(
                    "«{}» leads to more than limits.files_entries ({}) files",
                    self.written.value, self.entries_max
                );
                return Err((message, "name a smaller folder, or raise the limit"));
            }
            if found.path_is_symlink() {
                self.check_within(found.path(), bounds)?;
            }
            if found.path().is_file() {
                files.push(found.into_path());
            }
        }
        Ok(files)
    }

    /// Whether a path, all its symbolic links followed, stays where it should.
    fn check_within(&self, path: &Path, bounds: &Path) -> Result<(), Refusal> {
        let shown = path.strip_prefix(self.folder).unwrap_or(path).display();
        let real = path.canonicalize().map_err(|error| {
            let message = format!("«{}»: {shown} cannot be followed: {error}", self.written.value);
            (message, "remove the link, or make what it names")
        })?;
        if real.starts_with(bounds) {
            return Ok(());
        }
        let message = format!("«{}»: the symbolic link {shown} leads out of {}", self.written.value, bounds.display());
        Err((message, "copy what is needed to where it is used"))
    }

    fn unwalkable(&self, error: &walkdir::Error) -> Refusal {
        let shown = |path: &Path| path.strip_prefix(self.folder).unwrap_or(path).display().to_string();
        match (error.path(), error.loop_ancestor(), error.io_error()) {
            (Some(link), Some(ancestor), _) => {
                let (link, ancestor) = (shown(link), shown(ancestor));
                let message = format!(
                    "«{}»: the symbolic link {link} leads back to {ancestor}, which holds it",
                    self.written.value
                );
                (message, "remove the link")
            }
            (Some(link), None, Some(reason)) if link.is_symlink() => {
                let message = format!("«{}»: {} cannot be followed: {reason}", self.written.value, shown(link));
                (message, "remove the link, or make what it names")
            }
            _ => self.unreadable(error),
        }
    }

    fn unreadable(&self, error: &dyn std::error::Error) -> Refusal {
        (format!("«{}» cannot be read: {error}", self.written.value), "")
    }
}

/// Without slashes at the end, but for the root.
fn trimmed(destination: &str) -> String {
    let trimmed = destination.trim_end_matches('/');
    if trimmed.is_empty() { "/".to_owned() } else { trimmed.to_owned() }
}

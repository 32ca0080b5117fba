//! What every process tells of itself: its build, how long it runs, and what it takes.

use std::time::Instant;

use opentelemetry::KeyValue;
use opentelemetry::metrics::Meter;

/// Tells of this process through `meter` from now on: its version and role, and what the kernel knows
/// of it, read when the metrics are. Call it once, at the start.
pub fn tell_of_process(meter: &Meter, version: &'static str, role: &'static str) {
    let build = [
        KeyValue::new("fanfare.version", version),
        KeyValue::new("fanfare.role", role),
    ];
    meter
        .u64_observable_gauge("fanfare.build.info")
        .with_description("Version and role of the process; always 1")
        .with_callback(move |observer| observer.observe(1, &build))
        .build();
    let started = Instant::now();
    meter
        .f64_observable_gauge("process.uptime")
        .with_unit("s")
        .with_description("Time since the process started")
        .with_callback(move |observer| observer.observe(started.elapsed().as_secs_f64(), &[]))
        .build();
    #[cfg(target_os = "linux")]
    linux::tell(meter);
}

#[cfg(target_os = "linux")]
mod linux {
    use opentelemetry::KeyValue;
    use opentelemetry::metrics::Meter;
    use procfs::process::{Process, Stat};

    /// What can't be read is left out: there may be no `/proc`.
    pub(super) fn tell(meter: &Meter) {
        meter
            .f64_observable_counter("process.cpu.time")
            .with_unit("s")
            .with_description("CPU time that the process has taken")
            .with_callback(|observer| {
                let Some(stat) = stat() else { return };
                for (mode, ticks) in [("user", stat.utime), ("system", stat.stime)] {
                    let seconds = ticks as f64 / procfs::ticks_per_second() as f64;
                    observer.observe(seconds, &[KeyValue::new("cpu.mode", mode)]);
                }
            })
            .build();
        meter
            .u64_observable_gauge("process.memory.usage")
            .with_unit("By")
            .with_description("Resident memory of the process")
            .with_callback(|observer| {
                if let Some(stat) = stat() {
                    observer.observe(stat.rss * procfs::page_size(), &[]);
                }
            })
            .build();
        meter
            .u64_observable_gauge("process.unix.file_descriptor.usage")
            .with_unit("{file_descriptor}")
            .with_description("File descriptors that the process has open")
            .with_callback(|observer| {
                if let Some(open) = open_files() {
                    observer.observe(open, &[]);
                }
            })
            .build();
    }

    fn stat() -> Option<Stat> {
        Process::myself().and_then(|process| process.stat()).ok()
    }

    /// Since Linux 6.2 the folder's size is the number of its files, which spares counting thousands.
    fn open_files() -> Option<u64> {
        let told = std::fs::metadata("/proc/self/fd").ok()?.len();
        if told > 0 {
            return Some(told);
        }
        let counted = Process::myself().and_then(|process| process.fd_count());
        counted.ok().map(|open| open as u64)
    }
}

#[cfg(test)]
#[cfg(target_os = "linux")]
mod tests {
    use std::fs::File;
    use std::time::{Duration, Instant};

    use opentelemetry::metrics::MeterProvider;
    use opentelemetry_sdk::metrics::SdkMeterProvider;
    use prometheus::{Registry, TextEncoder};

    use super::*;

    struct Told {
        registry: Registry,
        _provider: SdkMeterProvider,
    }

    fn told() -> Told {
        let registry = Registry::new();
        let provider = SdkMeterProvider::builder()
            .with_reader(crate::metrics::reader(&registry))
            .build();
        tell_of_process(&provider.meter("test"), "1.2.3", "worker");
        Told {
            registry,
            _provider: provider,
        }
    }

    impl Told {
        fn text(&self) -> String {
            TextEncoder::new()
                .encode_to_string(&self.registry.gather())
                .unwrap()
        }

        fn value(&self, series: &str) -> f64 {
            let text = self.text();
            let value = text
                .lines()
                .find_map(|line| line.strip_prefix(series)?.strip_prefix(' '));
            value
                .unwrap_or_else(|| panic!("no {series} in {text}"))
                .parse()
                .unwrap()
        }
    }

    #[test]
    fn a_process_tells_its_build_and_what_it_takes() {
        let told = told();
        let build = r#"fanfare_build_info{fanfare_role="worker",fanfare_version="1.2.3"}"#;
        assert_eq!(told.value(build), 1.0);
        assert!((0.0..60.0).contains(&told.value("process_uptime_seconds")));
        let memory = told.value("process_memory_usage_bytes");
        assert!((1e6..1e10).contains(&memory), "{memory}");
    }

    #[test]
    fn open_files_are_counted_as_they_are() {
        const SERIES: &str = "process_unix_file_descriptor_usage";
        let told = told();
        let before = told.value(SERIES);
        // Far more than other tests of this process open meanwhile.
        let files: Vec<File> = (0..100)
            .map(|_| File::open("/proc/self/stat").unwrap())
            .collect();
        let after = told.value(SERIES);
        assert!(
            (50.0..150.0).contains(&(after - before)),
            "{before} {after}"
        );
        drop(files);
    }

    #[test]
    fn cpu_time_rises_with_work() {
        const SERIES: &str = r#"process_cpu_time_seconds_total{cpu_mode="user"}"#;
        let told = told();
        let before = told.value(SERIES);
        let begun = Instant::now();
        let mut work = 0_u64;
        while told.value(SERIES) < before + 0.05 {
            assert!(begun.elapsed() < Duration::from_secs(30), "it stands still");
            for number in 0..1_000_000 {
                work = std::hint::black_box(work.wrapping_add(number));
            }
        }
    }
}

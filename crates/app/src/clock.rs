//! The clocks of the operating system.

use std::time::Duration;

use rustix::time::{ClockId, Timespec, clock_gettime};
use zmon_domain::time::{Monotonic, Timestamp, WallClock};
use zmon_ports::Clock;

/// Longest sleep in one piece: timers stand still during suspend, the monotonic clock does not.
const SLICE: Duration = Duration::from_secs(1);
/// `CLOCK_BOOTTIME`, which counts suspend, and `CLOCK_REALTIME`, with the kernel's word on whether it is synchronised.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn monotonic(&self) -> Monotonic {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Boottime);
        let nanos = i128::from(tv_sec) * 1_000_000_000 + i128::from(tv_nsec);
        Monotonic::from_nanos(u64::try_from(nanos).unwrap_or_default())
    }

    fn wall(&self) -> WallClock {
        let Timespec { tv_sec, tv_nsec } = clock_gettime(ClockId::Realtime);
        let within = Duration::from_nanos(u64::try_from(tv_nsec).unwrap_or_default());
        WallClock {
            now: Timestamp::from_unix_seconds(tv_sec).plus(within),
            synchronised: kernel_says_synchronised(),
        }
    }

    async fn sleep_until(&self, deadline: Monotonic) {
        loop {
            let left = deadline.since(self.monotonic());
            if left.is_zero() {
                return;
            }
            tokio::time::sleep(left.min(SLICE)).await;
        }
    }
}

/// Whether the kernel says so; a kernel that does not answer does not say so.
#[cfg(target_pointer_width = "64")]
fn kernel_says_synchronised() -> bool {
    use rtime_clock::adjtime::{Timex, adjtimex};
    // Without modes the call reads and changes nothing.
    let mut timex = Timex::new();
    adjtimex(&mut timex).is_ok_and(|state| says_synchronised(state, timex.0.status))
}

/// No library asks the kernel on 32-bit systems: there a clock is never believed to be synchronised, as on a device without a
/// time server.
#[cfg(not(target_pointer_width = "64"))]
const fn kernel_says_synchronised() -> bool {
    false
}

#[cfg(target_pointer_width = "64")]
const fn says_synchronised(state: i32, status: i32) -> bool {
    /// The kernel's flag "clock unsynchronised" (`linux/timex.h`).
    const STA_UNSYNC: i32 = 0x40;
    /// The kernel's answer "clock not synchronised" (`linux/timex.h`).
    const TIME_ERROR: i32 = 5;
    state != TIME_ERROR && status & STA_UNSYNC == 0
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Seconds since 1970 on 2026-11-01 and on 2100-01-01.
    const BELIEVABLE: std::ops::Range<u64> = 1_793_491_200..4_102_444_800;

    #[tokio::test]
    async fn sleeps_until_the_deadline() {
        let clock = SystemClock;
        let start = clock.monotonic();
        clock.sleep_until(start.plus(Duration::from_millis(1100))).await;
        let slept = clock.monotonic().since(start);
        assert!(slept >= Duration::from_millis(1100), "{slept:?}");
        clock.sleep_until(start).await;
    }

    #[test]
    fn counts_since_the_boot_and_never_goes_back() {
        let uptime = std::fs::read_to_string("/proc/uptime").unwrap();
        let uptime: f64 = uptime.split(' ').next().unwrap().parse().unwrap();
        let readings: Vec<_> = (0..1000).map(|_| SystemClock.monotonic()).collect();
        let seconds = readings[0].since(Monotonic::default()).as_secs_f64();
        assert!(
            (seconds - uptime).abs() < 5.0,
            "{seconds} s, /proc/uptime says {uptime} s"
        );
        assert!(readings.is_sorted());
    }

    #[test]
    fn reads_the_wall_clock_in_milliseconds() {
        let seconds = SystemClock.wall().now.as_millis() / 1000;
        assert!(BELIEVABLE.contains(&seconds), "{seconds}");
    }

    #[test]
    fn calls_the_clock_synchronised_only_where_the_kernel_does() {
        assert!(says_synchronised(0, 0));
        assert!(says_synchronised(1, 0x2001));
        assert!(!says_synchronised(0, 0x40));
        assert!(!says_synchronised(0, 0x2041));
        assert!(!says_synchronised(5, 0));
    }
}

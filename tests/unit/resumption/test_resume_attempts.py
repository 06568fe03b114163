"""How long a stream is opened again."""

from shoal.resumption.resume_attempts import RESUME_SECONDS, ResumeAttempts


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_stream_that_never_began_fails_at_once() -> None:
    assert not ResumeAttempts(Clock()).may_repeat(lost=False)


def test_after_a_loss_managers_have_some_time() -> None:
    clock = Clock()
    attempts = ResumeAttempts(clock)
    assert attempts.may_repeat(lost=True)
    clock.now = RESUME_SECONDS - 1
    assert attempts.may_repeat(lost=False)
    clock.now = RESUME_SECONDS + 1
    assert not attempts.may_repeat(lost=False)


def test_the_time_begins_anew_with_each_loss() -> None:
    clock = Clock()
    attempts = ResumeAttempts(clock)
    for _ in range(3):
        attempts.begin()
        clock.now += 100  # nothing happened, and the connection stood
        assert attempts.may_repeat(lost=True)
    attempts.begin()
    attempts.answered()
    clock.now += 1
    assert attempts.may_repeat(lost=True)


def test_a_server_that_ends_each_call_at_once_is_given_up() -> None:
    clock = Clock()
    attempts = ResumeAttempts(clock)
    while clock.now < 100:
        attempts.begin()
        clock.now += 0.1
        if not attempts.may_repeat(lost=True):
            break
    assert RESUME_SECONDS <= clock.now < RESUME_SECONDS + 1


def test_delays_grow_to_a_second() -> None:
    attempts = ResumeAttempts(Clock())
    delays = [attempts.delay() for _ in range(8)]
    assert delays == sorted(delays)
    assert (delays[0], delays[-1]) == (0.05, 1.0)

"""Walk a table of rows with a team: the caller leads, helpers join as soon as they are awake.

Nobody is waited for who has not begun: a row is done when its tasks are, whoever did them. So a
helper that sleeps, or that another program keeps from its core, delays nothing; it comes in where
the others are. Tasks are cut into equal runs, one a thread; a thread takes from its own, and then
what others have left. Counters only grow, by the same amount in every run of a table, so they are
never set back.
"""

from numba.extending import register_jitable

from .call import call, compare_exchange, fetch_add, load_acquire, pause, put, store_release, word

LINE = 64  # bytes of a cache line

# int64 of a row: its driver and arguments, tasks, whether all wait after it, the address of a
# counter for each thread (a LINE apart), tasks that are done when those may go on who wait
DRIVER, ARGS, TASKS, BARRIER, COUNTERS, GOAL, WORDS = range(7)

# int64 of a job: the table, rows, threads, address of the count of tasks done, runs so far, tasks
# a run, a C function that lets other threads run (or 0), looks before it is called, a C function
# that writes the time to an address (or 0), its first argument (or 0), where times go (16 bytes a
# row and 16 before), the address of the addresses of each thread's scratch
TABLE, ROWS, THREADS, DONE, RUNS, TOTAL, GIVE_WAY, PATIENCE, CLOCK, KIND, TICKS, SCRATCH = range(12)

# what a helper's line says; the next int64 is the address of its job
FREE, ASLEEP, POSTED, RUNNING = 0, 1, 2, 4


def lead(job, lines, helpers):
    """Run a job with as many helpers as it has use for; return when nobody works on it any more.

    lines  address of the helpers' lines, a LINE each
    """
    helpers = min(helpers, word(job + 8 * THREADS) - 1)
    for i in range(helpers):
        put(lines + i * LINE + 8, job)
        fetch_add(lines + i * LINE, POSTED)
    interpret(job, 0)
    patience, give_way = word(job + 8 * PATIENCE), word(job + 8 * GIVE_WAY)
    for i in range(helpers):
        line, looks = lines + i * LINE, 0
        while True:
            state = load_acquire(line)
            if state < POSTED:
                break
            if state < RUNNING and compare_exchange(line, state, state - POSTED):
                break
            looks = wait(looks, patience, give_way)
    put(job + 8 * RUNS, word(job + 8 * RUNS) + 1)


def serve(line, thread, idle):
    """Do a thread's part of each job that is posted; return when none comes for ``idle`` looks."""
    compare_exchange(line, ASLEEP, FREE)
    looks = 0
    while True:
        state = load_acquire(line)
        if state & POSTED:
            if compare_exchange(line, state, RUNNING):
                interpret(word(line + 8), thread)
                store_release(line, FREE)
                looks = 0
        elif looks > idle:
            if state == ASLEEP or compare_exchange(line, FREE, ASLEEP):
                break
        else:
            pause()
            looks += 1


def rest(line, looks, thread):
    """Pause so many times."""
    for _ in range(looks):
        load_acquire(line)
        pause()


@register_jitable
def interpret(job, thread):
    """Do one thread's part of a job."""
    rows, threads, done = word(job + 8 * ROWS), word(job + 8 * THREADS), word(job + 8 * DONE)
    runs, scratch = word(job + 8 * RUNS), word(word(job + 8 * SCRATCH) + 8 * thread)
    patience, give_way = word(job + 8 * PATIENCE), word(job + 8 * GIVE_WAY)
    before = runs * word(job + 8 * TOTAL)
    stamp(job, thread, 0)
    for i in range(rows):
        row = word(job + 8 * TABLE) + i * 8 * WORDS
        goal = before + word(row + 8 * GOAL)
        if load_acquire(done) < goal:
            did = 0
            for k in range(thread, thread + threads):
                did += work(row, k if k < threads else k - threads, threads, runs, scratch)
            if did:
                fetch_add(done, did)
            if word(row + 8 * BARRIER) and (thread == 0 or i < rows - 1):
                looks = 0
                while load_acquire(done) < goal:
                    looks = wait(looks, patience, give_way)
        stamp(job, thread, i + 1)


@register_jitable
def work(row, run, threads, runs, scratch):
    """Do what is left of one run of a row's tasks; return how many those were."""
    driver, args, tasks = word(row), word(row + 8 * ARGS), word(row + 8 * TASKS)
    counter = word(row + 8 * COUNTERS) + run * LINE
    first = tasks * run // threads
    count = tasks * (run + 1) // threads - first
    did = 0
    while True:
        taken = load_acquire(counter)
        task = taken - runs * count
        if task >= count:
            return did
        if compare_exchange(counter, taken, taken + 1):
            call(driver, args, first + task, scratch)
            did += 1


@register_jitable
def wait(looks, patience, give_way):
    """Wait a moment; return how often, less what was answered by giving the processor away."""
    pause()
    if looks > patience and give_way:
        call(give_way)
        return looks - patience // 8
    return looks + 1


@register_jitable
def stamp(job, thread, place):
    """Write the time, if it is asked for."""
    clock = word(job + 8 * CLOCK)
    if clock and thread == 0:
        where, kind = word(job + 8 * TICKS) + place * 16, word(job + 8 * KIND)
        call(clock, kind if kind else where, where)


for one in (lead, serve, rest):
    one.signature = "void(int64, int64, int64)"

import signal

for number in sorted(signal.valid_signals()):
    if number not in (signal.SIGKILL, signal.SIGSTOP):
        print(number, signal.getsignal(number))
print(signal.pthread_sigmask(signal.SIG_BLOCK, []), signal.set_wakeup_fd(-1))
print(signal.getitimer(signal.ITIMER_REAL), signal.sigpending())
rang = []
signal.signal(signal.SIGALRM, lambda *_: rang.append("alarm"))
signal.setitimer(signal.ITIMER_REAL, 0.01, 0.01)  # again and again: one may come before the pause
signal.pause()
signal.setitimer(signal.ITIMER_REAL, 0)
print(rang[0])
for line in open("/proc/self/status"):
    if line.startswith(("SigBlk", "SigIgn", "SigCgt")):
        # 32 and 33 are the C library's own
        print(line.split()[0], hex(int(line.split()[1], 16) & ~(3 << 31)))

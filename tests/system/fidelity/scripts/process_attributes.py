import os
import resource

print(oct(os.umask(0)), os.nice(0), os.getpriority(os.PRIO_PROCESS, 0))
print(os.sched_getscheduler(0), sorted(os.sched_getaffinity(0)))
for name in sorted(name for name in dir(resource) if name.startswith("RLIMIT_")):
    if name != "RLIMIT_CORE":  # Asgard's jobs leave no core files
        print(name, resource.getrlimit(getattr(resource, name)))
print(os.getsid(0) == os.getpgid(0) == os.getpid(), os.getuid(), os.geteuid(), os.getgroups())
for name in ("oom_score_adj", "comm"):
    print(name, open(f"/proc/self/{name}").read().strip())
print(open("/proc/self/cmdline").read().split("\0"))
print(os.times().children_user, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)
print(os.getcwd() == os.readlink("/proc/self/cwd"), os.access("/proc/self/mem", os.R_OK))

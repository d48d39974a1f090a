# Started with `-S -B`. Kept this short because a script is compiled at every start, while its modules may be cached.
import sys

if len(sys.argv) == 1:
    from lambdad_runtime.start import main

    main()
else:
    # As the parent of others, by the descriptors it is given; what comes back is one of its children. Before them may
    # come names of modules that all those will import.
    from lambdad_runtime import bare_fork
    from lambdad_runtime.preload import preload
    from lambdad_runtime.renew import renew
    from lambdad_runtime.start import main
    from lambdad_runtime.zygote import run

    *names, requests, reports, calls = sys.argv[1:]
    preload(names[0].split(",") if names else [])
    # What modules of others do behind a fork, only they know.
    is_bare = not names and bare_fork.can_fork_barely()
    if is_bare:
        run(int(requests), int(reports), int(calls), bare_fork.bare_fork)
        bare_fork.renew()
    else:
        run(int(requests), int(reports), int(calls))
    renew()
    main(has_rehearsed=True)

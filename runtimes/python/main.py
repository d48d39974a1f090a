# Started with `-S -B`. Kept this short because a script is compiled at every start, while its modules may be cached.
import sys

if len(sys.argv) == 1:
    from lambdad_runtime.start import main

    main()
else:
    # As the parent of others, by the descriptors it is given; what comes back is one of its children.
    from lambdad_runtime.preload import preload
    from lambdad_runtime.start import main
    from lambdad_runtime.zygote import run

    preload()
    run(*map(int, sys.argv[1:]))
    main(has_rehearsed=True)

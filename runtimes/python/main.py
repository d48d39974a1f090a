# Started with `-S -B`. Kept this short because a script is compiled at every start, while its modules may be cached.
from lambdad_runtime.start import main

main()

module upper

go 1.21

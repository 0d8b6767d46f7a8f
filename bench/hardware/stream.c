/* STREAM's four kernels (McCalpin, www.cs.virginia.edu/stream), arrays from the command line, best of N, first one
   thrown away; bytes counted as STREAM counts them. Build: gcc -O3 -fopenmp stream.c -o stream */
#include <omp.h>
#include <stdio.h>
#include <stdlib.h>

static double *allocate(size_t n) {
    double *p = aligned_alloc(64, (n * 8 + 63) / 64 * 64);
    if (!p) { fprintf(stderr, "no memory\n"); exit(1); }
    return p;
}

int main(int argc, char **argv) {
    size_t n = argc > 1 ? strtoul(argv[1], 0, 10) : 20000000;
    int repeats = argc > 2 ? atoi(argv[2]) : 20;
    double *a = allocate(n), *b = allocate(n), *c = allocate(n), q = 3.0, best[4] = {1e9, 1e9, 1e9, 1e9};
#pragma omp parallel for
    for (size_t i = 0; i < n; i++) { a[i] = 1; b[i] = 2; c[i] = 0; }
    for (int k = 0; k < repeats; k++) {
        double t[5];
        t[0] = omp_get_wtime();
#pragma omp parallel for
        for (size_t i = 0; i < n; i++) c[i] = a[i];
        t[1] = omp_get_wtime();
#pragma omp parallel for
        for (size_t i = 0; i < n; i++) b[i] = q * c[i];
        t[2] = omp_get_wtime();
#pragma omp parallel for
        for (size_t i = 0; i < n; i++) c[i] = a[i] + b[i];
        t[3] = omp_get_wtime();
#pragma omp parallel for
        for (size_t i = 0; i < n; i++) a[i] = b[i] + q * c[i];
        t[4] = omp_get_wtime();
        for (int j = 0; j < 4; j++)
            if (k && t[j + 1] - t[j] < best[j]) best[j] = t[j + 1] - t[j];
    }
    printf("%.6e %.6e %.6e %.6e\n", 16.0 * n / best[0], 16.0 * n / best[1], 24.0 * n / best[2], 24.0 * n / best[3]);
    return a[n / 2] > 0 ? 0 : 1;
}

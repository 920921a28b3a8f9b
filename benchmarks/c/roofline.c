/* What one core of this machine can do at best: multiply-adds from registers, copies from memory. */

#define CHAINS 12 /* independent sums, enough to hide the latency of a multiply-add */

typedef float floats __attribute__((vector_size(64)));
typedef double doubles __attribute__((vector_size(64)));

#define CHAINED(NAME, VEC, REAL)                                                        \
  REAL NAME(long rounds, REAL by, REAL plus) {                                          \
    VEC sum[CHAINS], total = {0}, a = total + by, b = total + plus;                     \
    for (int c = 0; c < CHAINS; c++) sum[c] = b * (REAL)c; /* or one is kept */         \
    for (long r = 0; r < rounds; r++)                                                   \
      for (int c = 0; c < CHAINS; c++) sum[c] = sum[c] * a + b;                         \
    for (int c = 0; c < CHAINS; c++) total += sum[c];                                   \
    return total[0];                                                                    \
  }

CHAINED(multiply_add_32, floats, float)
CHAINED(multiply_add_64, doubles, double)

/* Multiply-adds in one round. */
long width(int bytes) { return CHAINS * 64 / bytes; }

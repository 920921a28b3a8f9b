/* Self-play of zero-sum matrix games, written as one would by hand: the reference for speed.

   One SIMD lane per game: W games stand side by side and play all their rounds while they are in
   the cache. Compiled once per (N, REAL, LEARNER) with -D, so that all loops have known lengths.
   Average weights are t^power. The row player x gains x' A y. */

#include <math.h>
#include <stddef.h>
#include <string.h>

#define W ((int)(64 / sizeof(REAL)))
#define TILE (N < 8 ? N : 8)

#define HEDGE 0
#define RM_PLUS 1
#define PRM_PLUS 2

typedef REAL vec __attribute__((vector_size(64)));

static inline vec larger(vec a, vec b) {
  for (int l = 0; l < W; l++) a[l] = a[l] > b[l] ? a[l] : b[l];
  return a;
}

#if LEARNER == HEDGE
static inline vec exponential(vec z) {
  vec e;
  for (int l = 0; l < W; l++) e[l] = sizeof(REAL) == 4 ? expf(z[l]) : exp(z[l]);
  return e;
}
#endif

/* u = A y, eight rows at a time so that y is read once for all of them. */
static inline void rows_times(vec A[N][N], const vec y[N], vec u[N]) {
  for (int i = 0; i < N; i += TILE) {
    vec sum[TILE];
    for (int k = 0; k < TILE; k++) sum[k] = A[i + k][0] * y[0];
    for (int j = 1; j < N; j++)
      for (int k = 0; k < TILE; k++) sum[k] += A[i + k][j] * y[j];
    for (int k = 0; k < TILE; k++) u[i + k] = sum[k];
  }
}

/* v = -A' x */
static inline void columns_times(vec A[N][N], const vec x[N], vec v[N]) {
  for (int j = 0; j < N; j += TILE) {
    vec sum[TILE];
    for (int k = 0; k < TILE; k++) sum[k] = -A[0][j + k] * x[0];
    for (int i = 1; i < N; i++)
      for (int k = 0; k < TILE; k++) sum[k] -= A[i][j + k] * x[i];
    for (int k = 0; k < TILE; k++) v[j + k] = sum[k];
  }
}

/* One learner sees the utilities of the round and moves on. */
static inline void learn(vec x[N], vec state[N], const vec u[N], REAL rate) {
#if LEARNER == HEDGE
  vec top, total;
  for (int i = 0; i < N; i++) state[i] += u[i];
  top = state[0];
  for (int i = 1; i < N; i++) top = larger(top, state[i]);
  for (int i = 0; i < N; i++) x[i] = exponential(rate * (state[i] - top));
  total = x[0];
  for (int i = 1; i < N; i++) total += x[i];
  total = 1 / total;
  for (int i = 0; i < N; i++) x[i] *= total;
#else
  vec value = x[0] * u[0], zero = {0}, total = {0}, scale, uniform;
  for (int i = 1; i < N; i++) value += x[i] * u[i];
  for (int i = 0; i < N; i++) {
    vec regret = u[i] - value;
    state[i] = larger(state[i] + regret, zero);
    x[i] = LEARNER == PRM_PLUS ? larger(state[i] + regret, zero) : state[i];
    total += x[i];
  }
  for (int l = 0; l < W; l++) {
    scale[l] = total[l] > 0 ? 1 / total[l] : 0;
    uniform[l] = total[l] > 0 ? 0 : (REAL)1 / N;
  }
  for (int i = 0; i < N; i++) x[i] = x[i] * scale + uniform;
#endif
}

/* The rounds after `first` up to `last`; `run` holds strategies, learners' states and sums. */
static void play(vec A[N][N], vec run[3][2][N], long first, long last, int alternating, int power,
                 REAL rate) {
  vec strategies[2][N], states[2][N], sums[2][N], u[N], v[N];
  memcpy(strategies, run[0], sizeof u * 2);
  memcpy(states, run[1], sizeof u * 2);
  memcpy(sums, run[2], sizeof u * 2);
  for (long t = first + 1; t <= last; t++) {
    REAL weight = power == 0 ? 1 : power == 1 ? (REAL)t : (REAL)t * (REAL)t;
    for (int k = 0; k < 2 * N; k++) (&sums[0][0])[k] += weight * (&strategies[0][0])[k];
    rows_times(A, strategies[1], u);
    if (!alternating) columns_times(A, strategies[0], v);
    learn(strategies[0], states[0], u, rate);
    if (alternating) columns_times(A, strategies[0], v);
    learn(strategies[1], states[1], v, rate);
  }
  memcpy(run[0], strategies, sizeof u * 2);
  memcpy(run[1], states, sizeof u * 2);
  memcpy(run[2], sums, sizeof u * 2);
}

/* The averages of play, and whether nash_conv is at most tol in all lanes. */
static int conclude(vec A[N][N], vec sums[2][N], vec averages[2][N], double tol) {
  for (int player = 0; player < 2; player++) {
    vec total = sums[player][0];
    for (int i = 1; i < N; i++) total += sums[player][i];
    for (int i = 0; i < N; i++) averages[player][i] = sums[player][i] / total;
  }
  if (tol < 0) return 0;
  vec u[N], v[N];
  rows_times(A, averages[1], u);
  columns_times(A, averages[0], v);
  for (int i = 1; i < N; i++) {
    u[0] = larger(u[0], u[i]);
    v[0] = larger(v[0], v[i]);
  }
  for (int l = 0; l < W; l++)
    if (!(u[0][l] + v[0][l] <= (REAL)tol)) return 0;
  return 1;
}

/* `payoffs` is (games, N, N), `averages` (games, 2, N); `games` is a multiple of W. Lanes that
   stand side by side stop when all have nash_conv <= tol at a check; tol < 0: never. Returns the
   rounds of all games. */
long self_play(const REAL *payoffs, REAL *averages, long games, long steps, int alternating,
               int power, double rate, long check_every, double tol) {
  static _Thread_local vec A[N][N];
  long rounds = 0;
  for (long first = 0; first < games; first += W) {
    const REAL *from = payoffs + first * N * N;
    REAL *to = averages + first * 2 * N;
    vec run[3][2][N] = {0}, average[2][N], zero = {0};
    for (int e = 0; e < N * N; e++)
      for (int l = 0; l < W; l++) (&A[0][0])[e][l] = from[(size_t)l * N * N + e];
    for (int k = 0; k < 2 * N; k++) (&run[0][0][0])[k] = zero + (REAL)1 / N;
    long done = 0;
    do {
      long last = done + check_every < steps ? done + check_every : steps;
      play(A, run, done, last, alternating, power, (REAL)rate);
      done = last;
    } while (!conclude(A, run[2], average, tol) && done < steps);
    rounds += done * W;
    for (int k = 0; k < 2 * N; k++)
      for (int l = 0; l < W; l++) to[(size_t)l * 2 * N + k] = (&average[0][0])[k][l];
  }
  return rounds;
}

long lanes(void) { return W; }

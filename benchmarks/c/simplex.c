/* Zero-sum matrix games solved exactly by a dense tableau, one game after another.

   With payoffs shifted so that all are at least 1, the column player maximizes the sum of z >= 0
   subject to A z <= 1: the slack basis is feasible, y = z / sum, the value is 1 / sum, and the
   reduced costs of the slacks are x / value. The tableau holds the nonbasic columns only: a pivot
   swaps the labels of its row and column. Largest reduced cost enters, smallest ratio leaves. */

#include <stdlib.h>
#include <string.h>

#define S (N + 1)
#define W (N < 12 ? S : (S + 7) / 8 * 8) /* padded with zeros where that is faster */

static long solve(const double *payoffs, double (*restrict T)[W], double *restrict x,
                  double *restrict y, long most) {
  double low = payoffs[0], total;
  int rows[N], columns[N]; /* labels: columns of the game 0..N-1, slacks of its rows N..2N-1 */
  for (int k = 1; k < N * N; k++) low = payoffs[k] < low ? payoffs[k] : low;
  for (int i = 0; i < N; i++) {
    for (int j = 0; j < N; j++) T[i][j] = payoffs[i * N + j] - low + 1;
    T[i][N] = 1, T[N][i] = 1, rows[i] = N + i, columns[i] = i;
  }
  T[N][N] = 0;
  long pivots = 0;
  for (; pivots < most; pivots++) {
    int c = 0, r = -1;
    for (int j = 1; j < N; j++) c = T[N][j] > T[N][c] ? j : c;
    if (T[N][c] <= 1e-12) break;
    double least = 1e300;
    for (int i = 0; i < N; i++)
      if (T[i][c] > 1e-12 && T[i][N] < least * T[i][c]) least = T[i][N] / T[i][c], r = i;
    if (r < 0) break;
    double inverse = 1 / T[r][c], row[W];
    for (int j = 0; j < W; j++) row[j] = T[r][j] * inverse;
    row[c] = inverse;
    for (int i = 0; i < S; i++) {
      double factor = T[i][c];
      T[i][c] = 0;
      for (int j = 0; j < W; j++) T[i][j] -= factor * row[j];
    }
    memcpy(T[r], row, sizeof row);
    int label = rows[r];
    rows[r] = columns[c], columns[c] = label;
  }
  total = -T[N][N], memset(x, 0, N * sizeof *x), memset(y, 0, N * sizeof *y);
  for (int k = 0; k < N; k++) {
    if (rows[k] < N) y[rows[k]] = T[k][N] / total;
    if (columns[k] >= N) x[columns[k] - N] = -T[N][k] / total;
  }
  return pivots;
}

/* `payoffs` is (games, N, N) for the row player, `profiles` (games, 2, N); returns all pivots. */
long simplex(const double *payoffs, double *profiles, long games, long most) {
  double(*T)[W] = aligned_alloc(64, (S * sizeof *T + 63) / 64 * 64);
  memset(T, 0, S * sizeof *T);
  long pivots = 0;
  for (long g = 0; g < games; g++) {
    double *x = profiles + g * 2 * N;
    pivots += solve(payoffs + g * N * N, T, x, x + N, most);
  }
  free(T);
  return pivots;
}

// What a Llama-type model does between its matrix products, token by token.
//
// Compiled by models/kernels.py for one machine and one model: HEADS heads of SIZE numbers that share GROUP to
// GROUP the same keys and values (SHARED = HEADS / GROUP); vectors of WIDE numbers, positions in tiles of TILE.

#include <math.h>
#include <stdint.h>

#define SHARED (HEADS / GROUP)
#define HALF (SIZE / 2)
#define VECS (TILE / WIDE)  // of positions at once: enough sums under way to hide the latency of one
#define PADDED(n) (((n) + TILE - 1) / TILE * TILE)
#define PART (SIZE % 32 == 0 ? 2 : 1)  // of a value at once, in vectors

typedef float vec __attribute__((vector_size(4 * WIDE)));
typedef int32_t ivec __attribute__((vector_size(4 * WIDE)));
typedef float loose __attribute__((vector_size(4 * WIDE), aligned(4), may_alias));

static inline vec load(const float *p) { return *(const loose *)p; }
static inline void store(float *p, vec x) { *(loose *)p = x; }
static inline vec larger(vec a, vec b) {
    ivec m = a > b;
    return (vec)(((ivec)a & m) | ((ivec)b & ~m));
}

// e^x to about one unit in the last place: x = n ln 2 + r, a Taylor polynomial in |r| <= ln 2 / 2, times 2^n.
static inline vec exponential(vec x) {
    const vec magic = (vec){} + 12582912.0f;  // added and taken away, it rounds
    x = larger(x, (vec){} - 87.0f);
    x = -larger(-x, (vec){} - 87.0f);
    vec n = (x * 1.44269504f + magic) - magic;
    vec r = (x - n * 0.693145752f) - n * 1.42860677e-6f;
    vec p = r * (1.0f / 720) + 1.0f / 120;
    p = p * r + 1.0f / 24;
    p = p * r + 1.0f / 6;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    ivec power = (__builtin_convertvector(n, ivec) + 127) << 23;
    return p * (vec)power;
}

// x turned by its position's angles: halves (a, b) become (a cos - b sin, b cos + a sin).
static inline void turn(const float *x, const float *cosine, const float *sine, float scale, float *out, int64_t step) {
    for (int i = 0; i < HALF; i++) {
        out[i * step] = scale * (x[i] * cosine[i] - x[HALF + i] * sine[i]);
        out[(HALF + i) * step] = scale * (x[HALF + i] * cosine[i] + x[i] * sine[i]);
    }
}

// Products of the queries with n keys, as (GROUP, stride); what lies behind the last key is read and made -inf.
static void scores(const float query[GROUP][SIZE], const float *keys, int64_t width, int64_t n, float *out,
                   int64_t stride) {
    int64_t padded = PADDED(n);
    for (int64_t t = 0; t < padded; t += TILE) {
        vec sum[GROUP][VECS] = {};
        for (int d = 0; d < SIZE; d++)
            for (int j = 0; j < VECS; j++) {
                vec key = load(keys + d * width + t + j * WIDE);
                for (int g = 0; g < GROUP; g++) sum[g][j] += query[g][d] * key;
            }
        for (int g = 0; g < GROUP; g++)
            for (int j = 0; j < VECS; j++) store(out + g * stride + t + j * WIDE, sum[g][j]);
    }
    for (int g = 0; g < GROUP; g++)
        for (int64_t t = n; t < padded; t++) out[g * stride + t] = -INFINITY;
}

// e^(x - max) in place of n scores, a multiple of a vector; returns their sum.
static float weigh(float *x, int64_t n) {
    vec most = load(x), sum = {};
    for (int64_t t = WIDE; t < n; t += WIDE) most = larger(load(x + t), most);
    float top = most[0], total = 0;
    for (int i = 1; i < WIDE; i++) top = most[i] > top ? most[i] : top;
    for (int64_t t = 0; t < n; t += WIDE) {
        vec weight = exponential(load(x + t) - top);
        store(x + t, weight);
        sum += weight;
    }
    for (int i = 0; i < WIDE; i++) total += sum[i];
    return total;
}

// Add to sum the n values, from column d on, by their weights (GROUP, stride).
static inline void add(vec sum[GROUP][PART], const float *values, int64_t n, int d, const float *weights,
                       int64_t stride) {
    for (int64_t t = 0; t < n; t++)
        for (int j = 0; j < PART; j++) {
            vec value = load(values + t * SIZE + d + j * WIDE);
            for (int g = 0; g < GROUP; g++) sum[g][j] += weights[g * stride + t] * value;
        }
}

// A row's memory is its beginning, which rows may share, and a tail of its own: keys as (SHARED, SIZE, width),
// values as (SHARED, length, SIZE). Keys are read up to a multiple of TILE.
struct beginning {
    const float *keys, *values;
    int64_t width, length, used;
};

// Turn queries and keys of each token, keep its key and value at the end of its row's tail, and attend.
// A row's tokens come in order. projected (tokens, HEADS + 2 SHARED, SIZE); row and position (tokens); angles
// (2, context, HALF); keys (rows, SHARED, SIZE, width) and values (rows, SHARED, width, SIZE), the tails; out
// (tokens, HEADS, SIZE); scratch (GROUP, stride), as many as any token may look at, both parts padded.
void attend(int64_t tokens, const float *projected, const int64_t *row, const int64_t *position, const float *angles,
            int64_t context, const struct beginning *beginnings, float *keys, float *values, int64_t width,
            float *scratch, int64_t stride, float *out) {
    for (int64_t token = 0; token < tokens; token++) {
        const float *x = projected + token * (HEADS + 2 * SHARED) * SIZE;
        const float *cosine = angles + position[token] * HALF, *sine = cosine + context * HALF;
        struct beginning b = beginnings[row[token]];
        int64_t own = position[token] - b.used, split = PADDED(b.used);
        for (int k = 0; k < SHARED; k++) {
            float *my_keys = keys + (row[token] * SHARED + k) * SIZE * width;
            float *my_values = values + (row[token] * SHARED + k) * SIZE * width;
            float query[GROUP][SIZE], total[GROUP];
            turn(x + (HEADS + k) * SIZE, cosine, sine, 1.0f, my_keys + own, width);
            for (int i = 0; i < SIZE; i++) my_values[own * SIZE + i] = x[(HEADS + SHARED + k) * SIZE + i];
            for (int g = 0; g < GROUP; g++)
                turn(x + (k * GROUP + g) * SIZE, cosine, sine, 1.0f / sqrtf(SIZE), query[g], 1);

            scores(query, b.keys + k * SIZE * b.width, b.width, b.used, scratch, stride);
            scores(query, my_keys, width, own + 1, scratch + split, stride);
            for (int g = 0; g < GROUP; g++) total[g] = weigh(scratch + g * stride, split + PADDED(own + 1));
            for (int d = 0; d < SIZE; d += WIDE * PART) {
                vec sum[GROUP][PART] = {};
                add(sum, b.values + k * b.length * SIZE, b.used, d, scratch, stride);
                add(sum, my_values, own + 1, d, scratch + split, stride);
                for (int g = 0; g < GROUP; g++)
                    for (int j = 0; j < PART; j++)
                        store(out + (token * HEADS + k * GROUP + g) * SIZE + d + j * WIDE, sum[g][j] / total[g]);
            }
        }
    }
}

// x / rms(x) * weight, of rows of a multiple of 16 numbers.
void norm(int64_t rows, int64_t wide, float eps, const float *x, const float *weight, float *out) {
    for (int64_t row = 0; row < rows; row++, x += wide, out += wide) {
        vec sum = {};
        for (int64_t i = 0; i < wide; i += WIDE) sum += load(x + i) * load(x + i);
        float total = 0;
        for (int i = 0; i < WIDE; i++) total += sum[i];
        float scale = 1.0f / sqrtf(total / wide + eps);
        for (int64_t i = 0; i < wide; i += WIDE) store(out + i, load(x + i) * scale * load(weight + i));
    }
}

// silu(gate) * up, of rows (gate, up) of twice a multiple of 16 numbers.
void gate(int64_t rows, int64_t wide, const float *x, float *out) {
    for (int64_t row = 0; row < rows; row++, x += 2 * wide, out += wide)
        for (int64_t i = 0; i < wide; i += WIDE) {
            vec g = load(x + i);
            store(out + i, g / (1.0f + exponential(-g)) * load(x + wide + i));
        }
}

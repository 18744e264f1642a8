// What a language model does on a GPU between tokens and logits. `transformer.ptx` is made of this by
// `engine/device/compile_kernels.sh`; the driver compiles that for the GPU that is there.
//
// A row comes out the same in any company, bit by bit: every sum is made in an order that depends on sizes of the
// network and on the row's own position alone, never on how many rows there are.
//
// Matrices and rows lie so that each thread of a warp loads what it gives to the tensor cores at once, and a warp what
// lies together. In a tile of 16 outputs by 16 inputs, and in one of 8 rows by 16 inputs, thread `4 g + t` has
//     weights  (g, 2t) (g, 2t+1) (g+8, 2t) (g+8, 2t+1) (g, 2t+8) (g, 2t+9) (g+8, 2t+8) (g+8, 2t+9)
//     rows     (g, 2t) (g, 2t+1) (g, 2t+8) (g, 2t+9)
// as PTX says of `mma.m16n8k16`. Tiles follow each other by inputs first.
//
// Keys and values lie in pages of 32 tokens. A page has, for each layer and each key-value head, its keys as
// `width / 8 x 32 tokens x 8` and its values as `32 tokens x width`.
#include <cuda_fp16.h>

typedef unsigned int u32;
typedef unsigned long long u64;

constexpr u32 PAGE = 32;
constexpr u32 ALL = 0xffffffff;

// Where element `k` (even) of row `row` lies among rows of `inputs`.
__device__ __forceinline__ u64 packed(u32 row, u32 k, u32 inputs) {
    u32 lane = (row % 8) * 4 + (k % 8) / 2;
    return ((u64)((row / 8) * (inputs / 16) + k / 16) * 32 + lane) * 4 + (k % 16) / 8 * 2;
}

__device__ __forceinline__ __half narrow(float x) {
    return __float2half_rn(fminf(fmaxf(x, -65504.0f), 65504.0f));
}

__device__ __forceinline__ void mma(float (&sums)[4], uint4 weights, uint2 rows) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
                 "{%0, %1, %2, %3};"
                 : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
                 : "r"(weights.x), "r"(weights.y), "r"(weights.z), "r"(weights.w), "r"(rows.x), "r"(rows.y));
}

constexpr u32 LINEAR_WARPS = 8;

// to[row][output] = weights x rows, or += if `adds`. A block has a tile of outputs and ROWS tiles of rows; its warps
// share the inputs.
template <int ROWS>
__device__ void linear(const uint4 *weights, const uint2 *from, float *to, u32 rows, u32 outputs, u32 inputs, u32 adds) {
    __shared__ float parts[LINEAR_WARPS][ROWS][4][32];
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    u32 tiles = inputs / 16, first = blockIdx.x * ROWS;
    float sums[ROWS][4] = {};
    weights += (u64)blockIdx.y * tiles * 32 + lane;
    from += (u64)first * tiles * 32 + lane;
    // What lies beyond the last row is as if it were the last tile: nobody takes the result.
    u32 last = (rows + 7) / 8 - 1 - first;
#pragma unroll 4
    for (u32 tile = warp; tile < tiles; tile += LINEAR_WARPS) {
        uint4 part = __ldg(weights + (u64)tile * 32);
#pragma unroll
        for (u32 i = 0; i < ROWS; i++) {
            uint2 row = from[((u64)min(i, last) * tiles + tile) * 32];
            mma(sums[i], part, row);
        }
    }
#pragma unroll
    for (u32 i = 0; i < ROWS; i++) {
#pragma unroll
        for (u32 j = 0; j < 4; j++) {
            parts[warp][i][j][lane] = sums[i][j];
        }
    }
    __syncthreads();
    for (u32 index = threadIdx.x; index < ROWS * 128; index += LINEAR_WARPS * 32) {
        // Neighbours write neighbouring outputs of one row.
        u32 m = index % 16, n = index / 16 % 8, i = index / 128;
        u32 j = m / 8 * 2 + n % 2, of = (m % 8) * 4 + n / 2;
        float sum = 0.0f;
        for (u32 w = 0; w < LINEAR_WARPS; w++) {
            sum += parts[w][i][j][of];
        }
        u32 output = blockIdx.y * 16 + m, row = (first + i) * 8 + n;
        if (output < outputs && row < rows) {
            float *at = to + (u64)row * outputs + output;
            *at = adds ? *at + sum : sum;
        }
    }
}

#define LINEAR(ROWS)                                                                                                   \
    extern "C" __global__ void __launch_bounds__(LINEAR_WARPS * 32) corn_linear_##ROWS(                                \
        const uint4 *weights, const uint2 *from, float *to, u32 rows, u32 outputs, u32 inputs, u32 adds) {             \
        linear<ROWS>(weights, from, to, rows, outputs, inputs, adds);                                                  \
    }
LINEAR(1)
LINEAR(2)
LINEAR(4)
LINEAR(8)

// to[i] = row which[i] of `from` over its root mean square, times `weight`. A block has one row.
extern "C" __global__ void __launch_bounds__(256)
    corn_norm(const float *from, const float *weight, const u32 *which, __half *to, u32 width, float epsilon) {
    __shared__ float parts[8];
    const float *row = from + (u64)which[blockIdx.x] * width;
    float sum = 0.0f;
    for (u32 k = threadIdx.x; k < width; k += 256) {
        sum += row[k] * row[k];
    }
    for (u32 apart = 16; apart > 0; apart /= 2) {
        sum += __shfl_xor_sync(ALL, sum, apart);
    }
    if (threadIdx.x % 32 == 0) {
        parts[threadIdx.x / 32] = sum;
    }
    __syncthreads();
    sum = 0.0f;
    for (u32 warp = 0; warp < 8; warp++) {
        sum += parts[warp];
    }
    float scale = 1.0f / sqrtf(sum / width + epsilon);
    for (u32 k = threadIdx.x * 2; k < width; k += 512) {
        __half one = narrow(row[k] * scale * weight[k]), other = narrow(row[k + 1] * scale * weight[k + 1]);
        *(__half2 *)(to + packed(blockIdx.x, k, width)) = __halves2half2(one, other);
    }
}

// Turns the pairs of queries and keys by what each row's position asks for, and puts keys and values into their page.
// `rows` has queries, keys and values of each row; queries stay there. A block has one row.
extern "C" __global__ void __launch_bounds__(256)
    corn_remember(float *rows, const float *turns, const u32 *positions, const u32 *slots, __half *pages, u32 layer,
                  u32 layers, u32 queries, u32 heads, u32 width, u32 rotated) {
    u32 position = positions[blockIdx.x], page = slots[blockIdx.x] / PAGE, token = slots[blockIdx.x] % PAGE;
    float *row = rows + (u64)blockIdx.x * (queries + 2 * heads) * width;
    __half *layer_pages = pages + (u64)(page * layers + layer) * heads * 2 * PAGE * width;
    for (u32 pair = threadIdx.x; pair < (queries + 2 * heads) * width / 2; pair += 256) {
        u32 head = pair * 2 / width, k = pair * 2 % width;
        float one = row[pair * 2], other = row[pair * 2 + 1];
        if (head < queries + heads && k < rotated) {
            float sine, cosine;
            sincosf(position * turns[k / 2], &sine, &cosine);
            float turned = one * cosine - other * sine;
            other = one * sine + other * cosine;
            one = turned;
        }
        if (head < queries) {
            row[pair * 2] = one;
            row[pair * 2 + 1] = other;
            continue;
        }
        __half2 both = __halves2half2(narrow(one), narrow(other));
        if (head < queries + heads) {
            __half *keys = layer_pages + (u64)(head - queries) * 2 * PAGE * width;
            *(__half2 *)(keys + (k / 8 * PAGE + token) * 8 + k % 8) = both;
        } else {
            __half *values = layer_pages + (u64)(head - queries - heads) * 2 * PAGE * width + PAGE * width;
            *(__half2 *)(values + token * width + k) = both;
        }
    }
}

constexpr u32 ATTENTION_WARPS = 16;
// Tokens whose values are fetched together.
constexpr u32 FETCHED = 8;
// Query heads of a block: all look at what one key-value head remembers.
constexpr u32 TOGETHER = 4;

// What each row sees of the first `lengths[row]` tokens of its pages, which are `tables[starts[row]]` and so on. A
// block has one row, one key-value head and up to four of its query heads; its warps share the pages.
template <int EACH>
__device__ void attention(const float *rows, const __half *pages, const u32 *tables, const u32 *starts,
                          const u32 *lengths, __half *to, u32 layer, u32 layers, u32 queries, u32 heads) {
    constexpr u32 width = EACH * 32;
    __shared__ float query[TOGETHER][width];
    __shared__ float most[ATTENTION_WARPS][TOGETHER], total[ATTENTION_WARPS][TOGETHER];
    __shared__ float seen[ATTENTION_WARPS][TOGETHER][width];
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    u32 group = queries / heads, first = blockIdx.z * TOGETHER, count = min(TOGETHER, group - first);
    u32 row = blockIdx.x, head = blockIdx.y, length = lengths[row];
    const u32 *table = tables + starts[row];
    // Powers are of two: the logarithm is in the scale.
    float scale = 1.44269504f / sqrtf((float)width);
    const float *queried = rows + (u64)row * (queries + 2 * heads) * width + (head * group + first) * width;
    for (u32 index = threadIdx.x; index < TOGETHER * width; index += ATTENTION_WARPS * 32) {
        query[index / width][index % width] = index / width < count ? queried[index] * scale : 0.0f;
    }
    __syncthreads();
    float highest[TOGETHER], sum[TOGETHER], part[TOGETHER][EACH] = {};
    for (u32 q = 0; q < TOGETHER; q++) {
        highest[q] = -INFINITY;
        sum[q] = 0.0f;
    }
    for (u32 index = warp; index * PAGE < length; index += ATTENTION_WARPS) {
        const __half *keys = pages + ((u64)(table[index] * layers + layer) * heads + head) * 2 * PAGE * width;
        const __half *values = keys + PAGE * width;
        u32 tokens = min(PAGE, length - index * PAGE);
        float likeness[TOGETHER] = {};
#pragma unroll 8
        for (u32 k = 0; k < width; k += 8) {
            uint4 eight = *(const uint4 *)(keys + (k / 8 * PAGE + lane) * 8);
            const __half2 *pairs = (const __half2 *)&eight;
#pragma unroll
            for (u32 i = 0; i < 4; i++) {
                float2 key = __half22float2(pairs[i]);
#pragma unroll
                for (u32 q = 0; q < TOGETHER; q++) {
                    likeness[q] += query[q][k + 2 * i] * key.x;
                    likeness[q] += query[q][k + 2 * i + 1] * key.y;
                }
            }
        }
#pragma unroll
        for (u32 q = 0; q < TOGETHER; q++) {
            likeness[q] = lane < tokens ? likeness[q] : -INFINITY;
            float top = likeness[q];
            for (u32 apart = 16; apart > 0; apart /= 2) {
                top = fmaxf(top, __shfl_xor_sync(ALL, top, apart));
            }
            top = fmaxf(top, highest[q]);
            float shrinks = exp2f(highest[q] - top);
            highest[q] = top;
            likeness[q] = exp2f(likeness[q] - top);
            float shares = likeness[q];
            for (u32 apart = 16; apart > 0; apart /= 2) {
                shares += __shfl_xor_sync(ALL, shares, apart);
            }
            sum[q] = sum[q] * shrinks + shares;
#pragma unroll
            for (u32 i = 0; i < EACH; i++) {
                part[q][i] *= shrinks;
            }
        }
        // What lies beyond the last token is as if it were the last, and has no share.
        for (u32 first_token = 0; first_token < tokens; first_token += FETCHED) {
            __align__(8) __half fetched[FETCHED][EACH];
#pragma unroll
            for (u32 t = 0; t < FETCHED; t++) {
                const __half *value = values + min(first_token + t, tokens - 1) * width + lane * EACH;
                if (EACH == 4) {
                    *(uint2 *)fetched[t] = *(const uint2 *)value;
                } else if (EACH == 2) {
                    *(u32 *)fetched[t] = *(const u32 *)value;
                } else {
#pragma unroll
                    for (u32 i = 0; i < EACH; i++) {
                        fetched[t][i] = value[i];
                    }
                }
            }
#pragma unroll
            for (u32 t = 0; t < FETCHED; t++) {
#pragma unroll
                for (u32 q = 0; q < TOGETHER; q++) {
                    float share = __shfl_sync(ALL, likeness[q], first_token + t);
#pragma unroll
                    for (u32 i = 0; i < EACH; i++) {
                        part[q][i] += share * __half2float(fetched[t][i]);
                    }
                }
            }
        }
    }
#pragma unroll
    for (u32 q = 0; q < TOGETHER; q++) {
        most[warp][q] = highest[q];
        total[warp][q] = sum[q];
#pragma unroll
        for (u32 i = 0; i < EACH; i++) {
            seen[warp][q][lane * EACH + i] = part[q][i];
        }
    }
    __syncthreads();
    for (u32 index = threadIdx.x; index < count * width / 2; index += ATTENTION_WARPS * 32) {
        u32 q = index / (width / 2), k = index % (width / 2) * 2;
        float top = most[0][q];
        for (u32 w = 1; w < ATTENTION_WARPS; w++) {
            top = fmaxf(top, most[w][q]);
        }
        float all = 0.0f, one = 0.0f, other = 0.0f;
        for (u32 w = 0; w < ATTENTION_WARPS; w++) {
            float shrinks = exp2f(most[w][q] - top);
            all += total[w][q] * shrinks;
            one += seen[w][q][k] * shrinks;
            other += seen[w][q][k + 1] * shrinks;
        }
        u32 column = (head * group + first + q) * width + k;
        *(__half2 *)(to + packed(row, column, queries * width)) = __halves2half2(narrow(one / all), narrow(other / all));
    }
}

#define ATTENTION(EACH)                                                                                                \
    extern "C" __global__ void __launch_bounds__(ATTENTION_WARPS * 32, 1)                                                 \
        corn_attention_##EACH(const float *rows, const __half *pages, const u32 *tables, const u32 *starts,            \
                              const u32 *lengths, __half *to, u32 layer, u32 layers, u32 queries, u32 heads) {         \
        attention<EACH>(rows, pages, tables, starts, lengths, to, layer, layers, queries, heads);                      \
    }
ATTENTION(1)
ATTENTION(2)
ATTENTION(3)
ATTENTION(4)

// to = SiLU of the first half of each row times the second. A block has 512 elements of one row.
extern "C" __global__ void __launch_bounds__(256) corn_gate(const float *from, __half *to, u32 width) {
    u32 k = (blockIdx.x * 256 + threadIdx.x) * 2, row = blockIdx.y;
    if (k >= width) {
        return;
    }
    const float *gates = from + (u64)row * 2 * width, *ups = gates + width;
    float one = gates[k] / (1.0f + expf(-gates[k])) * ups[k];
    float other = gates[k + 1] / (1.0f + expf(-gates[k + 1])) * ups[k + 1];
    *(__half2 *)(to + packed(row, k, width)) = __halves2half2(narrow(one), narrow(other));
}

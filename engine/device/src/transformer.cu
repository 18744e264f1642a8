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
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(weights.x), "r"(weights.y), "r"(weights.z), "r"(weights.w), "r"(rows.x), "r"(rows.y));
}

// Weights are kept in half precision, or each as a number of 8 or 4 bits that stands for `number x scale + offset`, in
// half precision. A tile has a scale and an offset for each of its outputs then: thread `4 g + t` takes those of outputs
// g and g + 8. Some tiles of inputs one after the other share them. What a thread takes of a tile is
//     of 8 bits   (g, 2t) (g, 2t+1) (g, 2t+8) (g, 2t+9), and the same of output g + 8
//     of 4 bits   (g, 2t) (g+8, 2t) (g, 2t+8) (g+8, 2t+8), and the same of inputs 2t + 1 and 2t + 9
template <int BITS>
struct Kept;

template <>
struct Kept<16> {
    typedef uint4 Bits;
};

template <>
struct Kept<8> {
    typedef uint2 Bits;
};

template <>
struct Kept<4> {
    typedef u32 Bits;
};

__device__ __forceinline__ uint4 weights_of(uint4 kept, uint2 scales) {
    return kept;
}

// `numbers` has two halves of 1024 and what is meant, which is how 0x6400 and ten bits at most read.
__device__ __forceinline__ u32 scaled(u32 numbers, u32 scale_offset) {
    __half2 pair = __hsub2(*(__half2 *)&numbers, __float2half2_rn(1024.0f)), both = *(__half2 *)&scale_offset;
    pair = __hfma2(pair, __low2half2(both), __high2half2(both));
    return *(u32 *)&pair;
}

__device__ __forceinline__ uint4 weights_of(uint2 kept, uint2 scales) {
    return make_uint4(scaled(__byte_perm(kept.x, 0x64646464, 0x4140), scales.x),
                      scaled(__byte_perm(kept.y, 0x64646464, 0x4140), scales.y),
                      scaled(__byte_perm(kept.x, 0x64646464, 0x4342), scales.x),
                      scaled(__byte_perm(kept.y, 0x64646464, 0x4342), scales.y));
}

__device__ __forceinline__ uint4 weights_of(u32 kept, uint2 scales) {
    return make_uint4(scaled((kept & 0x000f000f) | 0x64006400, scales.x),
                      scaled(((kept >> 4) & 0x000f000f) | 0x64006400, scales.y),
                      scaled(((kept >> 8) & 0x000f000f) | 0x64006400, scales.x),
                      scaled(((kept >> 12) & 0x000f000f) | 0x64006400, scales.y));
}

constexpr u32 LINEAR_WARPS = 8;

// to[row][output] = weights x rows, or += if `adds`. A block has a tile of outputs and ROWS tiles of rows; its warps
// share the inputs. Of an output, 2^alike tiles of inputs have one scale.
template <int BITS, int ROWS>
__device__ void linear(const typename Kept<BITS>::Bits *weights, const uint2 *scales, const uint2 *from, float *to,
                       u32 rows, u32 outputs, u32 inputs, u32 adds, u32 alike) {
    __shared__ float parts[LINEAR_WARPS][ROWS][4][32];
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32;
    u32 tiles = inputs / 16, first = blockIdx.x * ROWS;
    float sums[ROWS][4] = {};
    weights += (u64)blockIdx.y * tiles * 32 + lane;
    scales += (u64)blockIdx.y * (tiles >> alike) * 8 + lane / 4;
    from += (u64)first * tiles * 32 + lane;
    // What lies beyond the last row is as if it were the last tile: nobody takes the result.
    u32 last = (rows + 7) / 8 - 1 - first;
#pragma unroll 4
    for (u32 tile = warp; tile < tiles; tile += LINEAR_WARPS) {
        uint2 its_scales = make_uint2(0, 0);
        if (BITS < 16) {
            its_scales = __ldg(scales + (tile >> alike) * 8);
        }
        uint4 part = weights_of(__ldg(weights + (u64)tile * 32), its_scales);
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

// Copies 16 bytes to shared memory, or clears them there.
__device__ __forceinline__ void fetch(u32 to, const void *from, bool is_there) {
    u32 bytes = is_there ? 16 : 0;
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(bytes) : "memory");
}

__device__ __forceinline__ void end_group() {
    asm volatile("cp.async.commit_group;" ::: "memory");
}

// Waits until all groups but the last so many are there.
template <int BUT>
__device__ __forceinline__ void fetched() {
    asm volatile("cp.async.wait_group %0;" ::"n"(BUT) : "memory");
}

// Tiles of inputs that are fetched together.
constexpr u32 DEEP = 2;

// As `linear`, to the bit, for many rows. A block has OVER x TILES tiles of outputs and 8 / OVER x 8 tiles of rows, and
// each of its warps TILES by 8 of them. Inputs are fetched STAGES - 1 times ahead.
template <int BITS, int OVER, int TILES, int STAGES>
__device__ void linear_many(const typename Kept<BITS>::Bits *weights, const uint2 *scales, const uint2 *from, float *to,
                            u32 rows, u32 outputs, u32 inputs, u32 adds, u32 alike) {
    constexpr u32 OUTPUTS = OVER * TILES, ROWS = LINEAR_WARPS / OVER * 8;
    // What a tile of weights takes: the weights and, if there are some, their scales, 16 bytes each; and one of rows.
    constexpr u32 OF_WEIGHTS = 2 * BITS, OF_OUTPUTS = BITS < 16 ? OF_WEIGHTS + 4 : OF_WEIGHTS, OF_ROWS = 16;
    constexpr u32 THREADS = LINEAR_WARPS * 32;
    static_assert(OUTPUTS * OF_OUTPUTS <= THREADS && ROWS * OF_ROWS <= THREADS, "a thread copies one of each at most");
    __shared__ uint4 some_weights[STAGES][DEEP][OUTPUTS][OF_OUTPUTS], some_rows[STAGES][DEEP][ROWS][OF_ROWS];
    u32 warp = threadIdx.x / 32, lane = threadIdx.x % 32, over = warp % OVER * TILES, across = warp / OVER * 8;
    u32 tiles = inputs / 16, first_output = blockIdx.y * OUTPUTS, first_row = blockIdx.x * ROWS;
    // What this thread copies of each tile of inputs. What lies beyond the last is as if it were the last: nobody takes
    // the result.
    u32 output = min(first_output + threadIdx.x / OF_OUTPUTS, (outputs + 15) / 16 - 1);
    u32 row = min(first_row + threadIdx.x / OF_ROWS, (rows + 7) / 8 - 1);
    u32 chunk = threadIdx.x % OF_OUTPUTS;
    bool is_scale = chunk >= OF_WEIGHTS;
    const char *its_weights = (const char *)(weights + (u64)output * tiles * 32) + chunk * 16;
    if (is_scale) {
        its_weights = (const char *)(scales + (u64)output * (tiles >> alike) * 8) + (chunk - OF_WEIGHTS) * 16;
    }
    const char *its_rows = (const char *)(from + (u64)row * tiles * 32) + threadIdx.x % OF_ROWS * 16;
    u32 to_weights = (u32)__cvta_generic_to_shared(&some_weights[0][0][0][threadIdx.x]);
    u32 to_rows = (u32)__cvta_generic_to_shared(&some_rows[0][0][0][threadIdx.x]);
    // `linear` sums every eighth tile of inputs, from the first, then from the second, and so on, and then those sums.
    // A part has as many tiles as the longest, in groups: what there is not is 0.
    u32 groups = ((tiles + LINEAR_WARPS - 1) / LINEAR_WARPS + DEEP - 1) / DEEP;
    u32 part_ahead = 0, group_ahead = 0, stage_ahead = 0;
    auto fetch_group = [&]() {
        u32 tile = part_ahead + group_ahead * DEEP * LINEAR_WARPS;
#pragma unroll
        for (u32 k = 0; k < DEEP; k++, tile += LINEAR_WARPS) {
            u32 slot = stage_ahead * DEEP + k;
            if (OUTPUTS * OF_OUTPUTS == THREADS || threadIdx.x < OUTPUTS * OF_OUTPUTS) {
                u32 at = BITS < 16 && is_scale ? (tile >> alike) * 64 : tile * OF_WEIGHTS * 16;
                fetch(to_weights + slot * OUTPUTS * OF_OUTPUTS * 16, its_weights + at, tile < tiles);
            }
            if (ROWS * OF_ROWS == THREADS || threadIdx.x < ROWS * OF_ROWS) {
                fetch(to_rows + slot * ROWS * OF_ROWS * 16, its_rows + tile * OF_ROWS * 16, tile < tiles);
            }
        }
        end_group();
        stage_ahead = stage_ahead + 1 == STAGES ? 0 : stage_ahead + 1;
        group_ahead++;
        if (group_ahead == groups) {
            group_ahead = 0;
            part_ahead = min(part_ahead + 1, LINEAR_WARPS);
        }
    };
#pragma unroll
    for (u32 stage = 0; stage < STAGES - 1; stage++) {
        fetch_group();
    }
    float totals[TILES][8][4] = {};
    u32 stage = 0;
    for (u32 part = 0; part < LINEAR_WARPS; part++) {
        float sums[TILES][8][4] = {};
        for (u32 group = 0; group < groups; group++) {
            fetched<STAGES - 2>();
            __syncthreads();
            u32 here = stage;
            stage = stage + 1 == STAGES ? 0 : stage + 1;
            // One tile of inputs is loaded while the one before is multiplied.
            uint4 its_part[2][TILES];
            uint2 its_row[2][8];
#pragma unroll
            for (u32 k = 0; k <= DEEP; k++) {
                if (k < DEEP) {
#pragma unroll
                    for (u32 t = 0; t < TILES; t++) {
                        const uint4 *tile = some_weights[here][k][over + t];
                        uint2 its_scales = make_uint2(0, 0);
                        if (BITS < 16) {
                            its_scales = ((const uint2 *)(tile + OF_WEIGHTS))[lane / 4];
                        }
                        its_part[k % 2][t] = weights_of(((const typename Kept<BITS>::Bits *)tile)[lane], its_scales);
                    }
#pragma unroll
                    for (u32 i = 0; i < 8; i++) {
                        its_row[k % 2][i] = ((const uint2 *)some_rows[here][k][across + i])[lane];
                    }
                }
                if (k == 0) {
                    fetch_group();
                    continue;
                }
#pragma unroll
                for (u32 t = 0; t < TILES; t++) {
#pragma unroll
                    for (u32 i = 0; i < 8; i++) {
                        mma(sums[t][i], its_part[(k - 1) % 2][t], its_row[(k - 1) % 2][i]);
                    }
                }
            }
        }
#pragma unroll
        for (u32 t = 0; t < TILES; t++) {
#pragma unroll
            for (u32 i = 0; i < 8; i++) {
#pragma unroll
                for (u32 j = 0; j < 4; j++) {
                    totals[t][i][j] += sums[t][i][j];
                }
            }
        }
    }
#pragma unroll
    for (u32 t = 0; t < TILES; t++) {
#pragma unroll
        for (u32 i = 0; i < 8; i++) {
#pragma unroll
            for (u32 j = 0; j < 4; j++) {
                u32 output = (first_output + over + t) * 16 + lane / 4 + j / 2 * 8;
                u32 row = (first_row + across + i) * 8 + lane % 4 * 2 + j % 2;
                if (output < outputs && row < rows) {
                    float *at = to + (u64)row * outputs + output;
                    *at = adds ? *at + totals[t][i][j] : totals[t][i][j];
                }
            }
        }
    }
}

#define LINEAR(NAME, AT_ONCE, BITS, ...)                                                                               \
    extern "C" __global__ void __launch_bounds__(LINEAR_WARPS * 32, AT_ONCE) corn_linear_##BITS##_##NAME(              \
        const Kept<BITS>::Bits *weights, const uint2 *scales, const uint2 *from, float *to, u32 rows, u32 outputs,     \
        u32 inputs, u32 adds, u32 alike) {                                                                            \
        __VA_ARGS__(weights, scales, from, to, rows, outputs, inputs, adds, alike);                                   \
    }
// Named by tiles of rows of a block, or by outputs and rows.
#define LINEARS(BITS)                                                                                                  \
    LINEAR(1, 1, BITS, linear<BITS, 1>)                                                                                \
    LINEAR(2, 1, BITS, linear<BITS, 2>)                                                                                \
    LINEAR(4, 1, BITS, linear<BITS, 4>)                                                                                \
    LINEAR(8, 1, BITS, linear<BITS, 8>)                                                                                \
    LINEAR(64x128, 2, BITS, linear_many<BITS, 4, 1, 4>)                                                                \
    LINEAR(128x64, 2, BITS, linear_many<BITS, 8, 1, 3>)                                                                \
    LINEAR(128x128, 1, BITS, linear_many<BITS, 4, 2, 3>)
LINEARS(16)
LINEARS(8)
LINEARS(4)

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
        __half2 both = __halves2half2(narrow(one / all), narrow(other / all));
        *(__half2 *)(to + packed(row, column, queries * width)) = both;
    }
}

#define ATTENTION(EACH)                                                                                                \
    extern "C" __global__ void __launch_bounds__(ATTENTION_WARPS * 32, 1)                                              \
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

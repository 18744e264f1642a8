// A backend for Triton whose models do no work, inside the server: the cheapest stage that Triton can have. What it
// does is said by the output that is asked for:
//   SAME    the tensor that came in
//   LENGTH  how many bytes came in
//
// The wheel that brings the server brings no headers, so the few functions are declared here as tritonbackend.h
// declares them; the server that loads this has them.

#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct Error Error;
typedef struct Instance Instance;
typedef struct Request Request;
typedef struct Response Response;
typedef struct Input Input;
typedef struct Output Output;

enum { TYPE_UINT8 = 2, TYPE_INT64 = 9 };
enum { MEMORY_CPU = 0 };
enum { RELEASE_ALL = 1, COMPLETE_FINAL = 1 };

Error *TRITONBACKEND_RequestInputByIndex(Request *, uint32_t index, Input **);
Error *TRITONBACKEND_RequestOutputName(Request *, uint32_t index, const char **name);
Error *TRITONBACKEND_RequestRelease(Request *, uint32_t flags);
Error *TRITONBACKEND_InputProperties(Input *, const char **name, int *type, const int64_t **shape, uint32_t *dimensions,
                                     uint64_t *bytes, uint32_t *buffers);
Error *TRITONBACKEND_InputBuffer(Input *, uint32_t index, const void **at, uint64_t *bytes, int *memory, int64_t *id);
Error *TRITONBACKEND_ResponseNew(Response **, Request *);
Error *TRITONBACKEND_ResponseOutput(Response *, Output **, const char *name, int type, const int64_t *shape,
                                    uint32_t dimensions);
Error *TRITONBACKEND_OutputBuffer(Output *, void **at, uint64_t bytes, int *memory, int64_t *id);
Error *TRITONBACKEND_ResponseSend(Response *, uint32_t flags, Error *);

#define TRY(call)                \
    do {                         \
        Error *error = (call);   \
        if (error) return error; \
    } while (0)

static Error *answer(Request *request, Response *response) {
    Input *input;
    const char *wanted;
    uint64_t bytes;
    uint32_t buffers;
    TRY(TRITONBACKEND_RequestInputByIndex(request, 0, &input));
    TRY(TRITONBACKEND_RequestOutputName(request, 0, &wanted));
    TRY(TRITONBACKEND_InputProperties(input, NULL, NULL, NULL, NULL, &bytes, &buffers));

    int length = strcmp(wanted, "LENGTH") == 0;
    int64_t shape = length ? 1 : (int64_t)bytes;
    uint64_t size = length ? sizeof(int64_t) : bytes;
    Output *output;
    char *to;
    int memory = MEMORY_CPU;
    int64_t id = 0;
    TRY(TRITONBACKEND_ResponseOutput(response, &output, wanted, length ? TYPE_INT64 : TYPE_UINT8, &shape, 1));
    TRY(TRITONBACKEND_OutputBuffer(output, (void **)&to, size, &memory, &id));
    if (length) {
        int64_t count = (int64_t)bytes;
        memcpy(to, &count, sizeof count);
        return NULL;
    }
    for (uint32_t i = 0; i < buffers; i++) {
        const void *from;
        uint64_t part;
        TRY(TRITONBACKEND_InputBuffer(input, i, &from, &part, &memory, &id));
        memcpy(to, from, part);
        to += part;
    }
    return NULL;
}

Error *TRITONBACKEND_ModelInstanceExecute(Instance *instance, Request **requests, const uint32_t count) {
    (void)instance;
    for (uint32_t i = 0; i < count; i++) {
        Response *response;
        TRY(TRITONBACKEND_ResponseNew(&response, requests[i]));
        Error *error = answer(requests[i], response);
        TRITONBACKEND_ResponseSend(response, COMPLETE_FINAL, error);
        TRITONBACKEND_RequestRelease(requests[i], RELEASE_ALL);
    }
    return NULL;
}

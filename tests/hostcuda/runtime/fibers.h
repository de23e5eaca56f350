// Fibers: stacks of their own, and the switch from one to another.
#pragma once
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#if !defined(__x86_64__) && !defined(__aarch64__)
#include <ucontext.h>
#endif

namespace hostcuda {
constexpr size_t stack_bytes = 128 << 10;

#if defined(__x86_64__) || defined(__aarch64__)

struct Fiber {
  void* stack_pointer;
};

// Save the callee's registers on the present stack, note where, and take up another stack.
extern "C" void hostcuda_switch(void** save, void* load);

inline void switch_fiber(Fiber& from, Fiber& to) {
  hostcuda_switch(&from.stack_pointer, to.stack_pointer);
}

#if defined(__x86_64__)
asm(R"(
.text
.hidden hostcuda_switch
.globl hostcuda_switch
.type hostcuda_switch, @function
hostcuda_switch:
  push %rbp
  push %rbx
  push %r12
  push %r13
  push %r14
  push %r15
  mov %rsp, (%rdi)
  mov %rsi, %rsp
  pop %r15
  pop %r14
  pop %r13
  pop %r12
  pop %rbx
  pop %rbp
  ret
.size hostcuda_switch, . - hostcuda_switch
)");

inline void prepare_fiber(Fiber& fiber, char* stack, void (*entry)()) {
  void** top = (void**)(stack + stack_bytes);
  top[-1] = nullptr;
  top[-2] = (void*)entry;             // where ret goes, with the stack as after a call
  fiber.stack_pointer = top - 2 - 6;  // six registers, whatever is in them
}
#else
asm(R"(
.text
.hidden hostcuda_switch
.globl hostcuda_switch
.type hostcuda_switch, %function
hostcuda_switch:
  sub sp, sp, #160
  stp x29, x30, [sp]
  stp x19, x20, [sp, #16]
  stp x21, x22, [sp, #32]
  stp x23, x24, [sp, #48]
  stp x25, x26, [sp, #64]
  stp x27, x28, [sp, #80]
  stp d8, d9, [sp, #96]
  stp d10, d11, [sp, #112]
  stp d12, d13, [sp, #128]
  stp d14, d15, [sp, #144]
  mov x9, sp
  str x9, [x0]
  mov sp, x1
  ldp x29, x30, [sp]
  ldp x19, x20, [sp, #16]
  ldp x21, x22, [sp, #32]
  ldp x23, x24, [sp, #48]
  ldp x25, x26, [sp, #64]
  ldp x27, x28, [sp, #80]
  ldp d8, d9, [sp, #96]
  ldp d10, d11, [sp, #112]
  ldp d12, d13, [sp, #128]
  ldp d14, d15, [sp, #144]
  add sp, sp, #160
  ret
.size hostcuda_switch, . - hostcuda_switch
)");

inline void prepare_fiber(Fiber& fiber, char* stack, void (*entry)()) {
  void** frame = (void**)(stack + stack_bytes) - 20;
  memset(frame, 0, 160);
  frame[1] = (void*)entry;  // x30, where ret goes
  fiber.stack_pointer = frame;
}
#endif

#else  // another processor: the C library's own, with a system call in each switch

struct Fiber {
  ucontext_t context;
};

inline void switch_fiber(Fiber& from, Fiber& to) { swapcontext(&from.context, &to.context); }

inline void prepare_fiber(Fiber& fiber, char* stack, void (*entry)()) {
  getcontext(&fiber.context);
  fiber.context.uc_stack.ss_sp = stack;
  fiber.context.uc_stack.ss_size = stack_bytes;
  makecontext(&fiber.context, entry, 0);
}
#endif

// Map `count` stacks, each with a page at its end whose use is a segmentation fault.
inline char* map_stacks(int count) {
  int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  void* stacks = mmap(nullptr, count * stack_bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
  if (stacks == MAP_FAILED) return nullptr;
  for (int i = 0; i < count; i++) {
    mprotect((char*)stacks + i * stack_bytes, sysconf(_SC_PAGESIZE), PROT_NONE);
  }
  return (char*)stacks;
}
}  // namespace hostcuda

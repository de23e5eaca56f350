// The list of a module's kernels: their names, the types of their parameters, and how to call them.
#pragma once
#include "language.h"

namespace hostcuda {
// The letters are numpy's: i, u, f, b, and V for a struct; P for a pointer.
struct Parameter {
  int bytes, element_bytes;
  char kind, element_kind;
  bool is_const;
};

struct Kernel {
  const char* name;
  void (*call)(void** arguments);
  const Parameter* parameters;
  int count;
  const Kernel* next;
};

void add(Kernel* kernel);

template <class T>
constexpr char kind_of() {
  if (std::is_pointer_v<T>) return 'P';
  if (std::is_floating_point_v<T> || std::is_same_v<T, __half>) return 'f';
  if (std::is_same_v<T, bool>) return 'b';
  if (std::is_same_v<T, __nv_bfloat16>) return 'u';  // numpy has no bfloat16: arrays of its bits
  if (!std::is_integral_v<T> && !std::is_enum_v<T>) return 'V';
  return std::is_unsigned_v<T> ? 'u' : 'i';
}

template <class T>
constexpr Parameter parameter_of() {
  using Element = std::remove_pointer_t<T>;
  Parameter p = {sizeof(T), 0, kind_of<T>(), 0, false};
  if constexpr (std::is_pointer_v<T>) {
    p.is_const = std::is_const_v<Element>;
    if constexpr (!std::is_void_v<Element>) {
      p.element_bytes = sizeof(Element);
      p.element_kind = kind_of<std::remove_cv_t<Element>>();
    }
  }
  return p;
}

// The address of each argument lies in an array, as for cuLaunchKernel.
template <auto function>
struct Registered {
  template <class... T, size_t... i>
  __attribute__((no_sanitize("thread"), no_sanitize("undefined"))) static void unpack(
      void (*)(T...), void** arguments, std::index_sequence<i...>) {
    function(*(std::remove_cv_t<T>*)arguments[i]...);
  }
  template <class... T>
  static void call_as(void (*type)(T...), void** arguments) {
    unpack(type, arguments, std::index_sequence_for<T...>());
  }
  static void call(void** arguments) { call_as(function, arguments); }

  template <class... T>
  static Kernel describe(void (*)(T...), const char* name) {
    static const Parameter parameters[] = {parameter_of<std::remove_cv_t<T>>()..., {}};
    return {name, call, parameters, sizeof...(T), nullptr};
  }
  explicit Registered(const char* name) {
    static Kernel kernel = describe(function, name);
    add(&kernel);
  }
};
}  // namespace hostcuda

// The build writes one such line for each kernel, after the source.
#define HOSTCUDA_KERNEL(line, name, ...) \
  static const hostcuda::Registered<__VA_ARGS__> hostcuda_kernel_##line(name);

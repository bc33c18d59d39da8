# The files that decide how fast the extension is, and their digest: what this prints, from the root
#
#   sha256sum FILES | sha256sum | cut -c 1-16
#
# with FILES sorted by their bytes. `cmake -DHEADER=... -P Sources.cmake` writes it into a header;
# bench/sources.py computes the same.
get_filename_component(sources_root "${CMAKE_CURRENT_LIST_DIR}" DIRECTORY)
if(NOT CMAKE_SCRIPT_MODE_FILE)
    set(watch CONFIGURE_DEPENDS)
endif()
file(GLOB_RECURSE sources ${watch} RELATIVE "${sources_root}"
    "${sources_root}/cmake/*.cmake" "${sources_root}/cpp/bindings/*.?pp"
    "${sources_root}/cpp/include/*.?pp" "${sources_root}/cpp/src/*.?pp")
list(APPEND sources CMakeLists.txt cpp/CMakeLists.txt)
list(SORT sources)

if(CMAKE_SCRIPT_MODE_FILE)
    set(sums "")
    foreach(source ${sources})
        file(SHA256 "${sources_root}/${source}" sum)
        string(APPEND sums "${sum}  ${source}\n")
    endforeach()
    string(SHA256 digest "${sums}")
    string(SUBSTRING "${digest}" 0 16 digest)
    file(WRITE "${HEADER}" "#define ELMAN_SOURCES \"${digest}\"\n")
endif()

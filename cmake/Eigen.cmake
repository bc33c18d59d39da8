# Finds Eigen 3.4 or newer as Eigen3::Eigen: in Eigen3_DIR or Eigen3_ROOT if set, else in the
# package cmeel-eigen of the building interpreter, else on the system.
function(elman_find_eigen)
    foreach(hint Eigen3_DIR Eigen3_ROOT)
        if(NOT ${hint} AND DEFINED ENV{${hint}})
            set(${hint} "$ENV{${hint}}" CACHE PATH "Where Eigen is")
        endif()
    endforeach()
    if(Eigen3_ROOT)
        list(PREPEND CMAKE_PREFIX_PATH "${Eigen3_ROOT}")
    elseif(NOT Eigen3_DIR)
        find_package(Python COMPONENTS Interpreter QUIET)
        execute_process(
            COMMAND "${Python_EXECUTABLE}" -c
                    "import os, sys; print(';'.join(p for p in (os.path.join(q, 'cmeel.prefix') for q in sys.path) if os.path.isdir(p)))"
            OUTPUT_VARIABLE cmeel_prefixes OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
        list(PREPEND CMAKE_PREFIX_PATH ${cmeel_prefixes})
    endif()
    # Eigen 3.4.0 refuses a version range, Eigen 5 refuses a plain 3.4.
    foreach(version 3.4...5 3.4 5.0)
        if(NOT TARGET Eigen3::Eigen)
            find_package(Eigen3 ${version} CONFIG QUIET GLOBAL)
        endif()
    endforeach()
    if(NOT TARGET Eigen3::Eigen)
        message(FATAL_ERROR
            "elman needs Eigen 3.4 or newer. Any of these will do: "
            "(1) set -DEigen3_DIR=... or -DEigen3_ROOT=... (or the environment variables); "
            "(2) pip install cmeel-eigen into the Python of the build; "
            "(3) install it on the system (Debian: libeigen3-dev, Fedora: eigen3-devel, Homebrew: eigen).")
    endif()
    message(STATUS "Eigen ${Eigen3_VERSION}: ${Eigen3_DIR}")
    set(ELMAN_EIGEN_VERSION "${Eigen3_VERSION}" PARENT_SCOPE)
endfunction()

elman_find_eigen()
